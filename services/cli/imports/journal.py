"""How far a file of events has come, so that a second run goes on there.

Nothing rests on it but time: every event has an id of its own, and what is sent again counts once. It is found by the
server, the key and the first line, so a file may be renamed, or grow at its end; where anything before the place that
was reached has changed, the file is read from its beginning.
"""

import hashlib
import json
import os
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from backbone.settings import variables
from services.cli.imports.report import Problem, Report

EVERY_BYTES = 256 * 1024  # between two places at which a run can go on


@dataclass
class Place:
    """A place in a file: `lines` that hold something stand before it, and `digest` is of all bytes before it."""

    offset: int = 0
    line: int = 0
    lines: int = 0
    digest: str = ""


@dataclass
class Kept:
    """A place up to which everything was delivered, and what was wrong before it."""

    place: Place = field(default_factory=Place)
    bad: int = 0
    problems: list[Problem] = field(default_factory=list)

    def without_last_line(self) -> "Kept":
        """The same place, but its last line is to be looked at again."""
        problems = [one for one in self.problems if one.line != self.place.line]
        bad = self.bad - (len(problems) < len(self.problems))
        return Kept(replace(self.place, lines=self.place.lines - 1), bad, problems)


class Journal:
    """The places of one file. Not to be able to write it costs time at the next run, and nothing else."""

    def __init__(self, report: Report, *identity: str) -> None:
        name = hashlib.blake2b(
            "\n".join(identity).encode("utf-8", "surrogatepass"), digest_size=16
        ).hexdigest()
        self._path = folder() / f"{name}.json"
        self._report = report
        self._ahead: deque[Place] = deque()

    def read(self) -> Kept:
        """The place that the run before reached."""
        try:
            kept: dict[str, Any] = json.loads(self._path.read_text("utf-8"))
            problems = [Problem(**one) for one in kept["problems"]]
            return Kept(Place(**kept["place"]), int(kept["bad"]), problems)
        except (OSError, ValueError, TypeError, KeyError):
            return Kept()

    def passed(self, place: Place) -> None:
        """The file was read up to here."""
        self._ahead.append(place)

    def save(self, done: int) -> None:
        """Keep the last place up to which everything was delivered, where `done` is how far that is (bytes)."""
        last = None
        while self._ahead and self._ahead[0].offset <= done:
            last = self._ahead.popleft()
        if last is None:
            return
        problems, bad = self._report.before(last.line)
        kept = {"place": vars(last), "bad": bad, "problems": [vars(one) for one in problems]}
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            beside = self._path.with_suffix(f".{os.getpid()}")
            beside.write_text(json.dumps(kept), "utf-8")
            beside.replace(self._path)


def folder() -> Path:
    """Where journals are kept: below the user's folder for state (XDG)."""
    given = variables().get("XDG_STATE_HOME")
    return (Path(given) if given else Path.home() / ".local" / "state") / "touchline" / "imports"
