"""What an import says: each bad line with its column, what is wrong and what is allowed; warnings; and the sum."""

import threading
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from backbone.errors import TouchlineError
from services.cli.terminal import Terminal

SHOWN = 1_000  # bad lines that are named; beyond, only counted
EXAMPLES = 3  # lines that are named for one kind of warning


class Unusable(TouchlineError):
    """A file, or an option, from which nothing can be imported: told in a line, exit status 2."""


@dataclass(frozen=True)
class Problem:
    """A line that was not taken. `where`: its column or field, if one is to blame."""

    line: int
    where: str
    message: str


class Report:
    """What is said of one file. Threads may add to it."""

    def __init__(self, path: Path, out: Terminal) -> None:
        self.path, self.out = path, out
        self.taken = self.bad = 0
        self.problems: list[Problem] = []
        self._warned: dict[tuple[str, str], list[int]] = {}  # to the first lines, and the number of all
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

    def warn(self, line: int, where: str, message: str) -> None:
        """Note something that was taken and is probably not meant so. The same of one column is told once."""
        with self._lock:
            lines = self._warned.setdefault((where, message), [0])
            lines[0] += 1
            if len(lines) <= EXAMPLES:
                lines.append(line)

    def end(self) -> None:
        """Print what was warned of, each with its first lines, and how many bad lines were not named."""
        for (where, message), (count, *lines) in self._warned.items():
            more = f" and {count - len(lines):,} more" if count > len(lines) else ""
            place = f" {where}:" if where else ""
            noun = "line" if count == 1 else "lines"
            text = f"{self.path}:{place} {message} ({noun} {', '.join(map(str, lines))}{more})"
            self.out.print(f"[yellow]warning[/] {escape(text)}")
        named = len({one.line for one in self.problems})
        if self.bad > named:
            self.out.print(f"[red]error[/]   {escape(str(self.path))}: {self.bad - named:,} further lines")
