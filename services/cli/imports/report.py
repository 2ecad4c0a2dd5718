"""What an import says: each bad line with its column, what is wrong and what is allowed; warnings; and the sum."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from rich.markup import escape

from backbone.errors import TouchlineError
from services.cli.terminal import Terminal

SHOWN = 1_000  # bad lines that are named; beyond, only counted
EXAMPLES = 3  # lines that are named for one kind of warning
WARNED = 100  # kinds of warnings that are told apart


class Unusable(TouchlineError):
    """A file, or an option, from which nothing can be imported: told in a line, exit status 2."""


@dataclass(frozen=True)
class Problem:
    """A line that was not taken. `where`: its column or field, if one is to blame."""

    line: int
    where: str
    message: str


@dataclass
class Warned:
    """How often there was one thing to warn of, the first lines with it, and what stood in the first."""

    example: str
    count: int = 0
    lines: list[int] = field(default_factory=list)


class Report:
    """What is said of one file. Threads may add to it."""

    def __init__(self, path: Path, out: Terminal) -> None:
        self.path, self.out = path, out
        self.taken = self.bad = 0
        self.problems: list[Problem] = []
        self._warned: dict[tuple[str, str], Warned] = {}
        self._unwarned = 0  # what came when there were too many kinds
        self._lock = threading.Lock()

    def took(self, count: int) -> None:
        """So many lines were taken."""
        with self._lock:
            self.taken += count

    def wrong(self, line: int, *found: tuple[str, str]) -> None:
        """Name a line that is left out, with every (column, message)."""
        with self._lock:
            self.bad += 1
            for where, message in found:
                if len(self.problems) < SHOWN:
                    self.problems.append(Problem(line, where, message))
                    self.show(self.problems[-1])

    def before(self, line: int) -> tuple[list[Problem], int]:
        """The problems up to a line, and of how many lines: beyond `SHOWN`, of all so far."""
        with self._lock:
            found = [one for one in self.problems if one.line <= line]
            full = len(self.problems) == SHOWN
            return found, self.bad if full else len({one.line for one in found})

    def show(self, problem: Problem) -> None:
        """Print a problem."""
        where = f" {problem.where}:" if problem.where else ""
        text = f"{self.path}:{problem.line}:{where} {problem.message}"
        self.out.print(f"[red]error[/]   {escape(text)}")

    def warn(self, line: int, where: str, message: str, example: str = "") -> None:
        """Note something that was taken and is probably not meant so. The same of one column is told once, with the
        first example of it.
        """
        with self._lock:
            if (where, message) not in self._warned and len(self._warned) >= WARNED:
                self._unwarned += 1
                return
            known = self._warned.setdefault((where, message), Warned(example))
            known.count += 1
            if len(known.lines) < EXAMPLES:
                known.lines.append(line)

    def end(self) -> None:
        """Print what was warned of, each with its first lines, and how much is not named."""
        for (where, message), known in self._warned.items():
            place = f" {where}:" if where else ""
            example = f" {known.example!r}" if known.example else ""
            noun, lines = "line" if known.count == 1 else "lines", ", ".join(map(str, known.lines))
            more = f" and {known.count - len(known.lines):,} more" if known.count > len(known.lines) else ""
            text = f"{self.path}:{place}{example} {message} ({noun} {lines}{more})"
            self.out.print(f"[yellow]warning[/] {escape(text)}")
        if self._unwarned:
            self.out.print(
                f"[yellow]warning[/] {escape(str(self.path))}: {self._unwarned:,} more of other kinds"
            )
        named = len({one.line for one in self.problems})
        if self.bad > named:
            self.out.print(f"[red]error[/]   {escape(str(self.path))}: {self.bad - named:,} further lines")
