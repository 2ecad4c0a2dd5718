"""`touchline import events.ndjson --historical`: events, one in JSON a line, in the order of the file."""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from schemas.event import LATE_US
from services.cli.client import Client
from services.cli.imports.delivery import deliver
from services.cli.imports.event_lines import BadLine, EventLine, Line, Namer, first_line, lines_of
from services.cli.imports.journal import EVERY_BYTES, Journal, Kept, Place
from services.cli.imports.progress import Moved, bar
from services.cli.imports.report import Report
from services.cli.imports.sender import Item, Sender
from services.cli.terminal import Terminal

UNDATED = "events without a time count as of now"
LATE = (
    "more than 7 days behind an event of the account that stands before: rules in force do not count these. Keep "
    "the file in the order of time, or activate rules with backfill"
)
WEEK = timedelta(microseconds=LATE_US)


def import_events(client: Client, path: Path, report: Report, err: Terminal, *, historical: bool) -> int:
    """Send what a run before has not. Returns how many lines were taken before this run."""
    journal = Journal(report, *client.identity, first_line(path).decode("utf-8", "replace"))
    kept = journal.read()
    if kept.place.offset and not _unchanged(path, kept.place):
        kept = Kept()
    if kept.place.offset and _goes_on(path, kept.place):
        kept = kept.without_last_line()
    for problem in kept.problems:
        report.problems.append(problem)
        report.show(problem)
    report.bad += kept.bad
    with Namer(historical=historical) as namer, bar(path, path.stat().st_size, err) as moved:
        _Run(client, path, report, journal, namer, kept.place).run(moved)
    return kept.place.lines - kept.bad


def _unchanged(path: Path, place: Place) -> bool:
    """Whether the part of the file before a place is what it was."""
    digest, left = hashlib.blake2b(), place.offset
    with path.open("rb") as file:
        while left and (part := file.read(min(left, 1 << 20))):
            digest.update(part)
            left -= len(part)
    return not left and digest.hexdigest() == place.digest


def _goes_on(path: Path, place: Place) -> bool:
    """Whether the file ended at a place without the end of a line, and goes on there now."""
    with path.open("rb") as file:
        file.seek(place.offset - 1)
        return file.read(1) != b"\n" and file.read(1) != b""


class _Run:
    """One run over a file."""

    def __init__(
        self, client: Client, path: Path, report: Report, journal: Journal, namer: Namer, begin: Place
    ) -> None:
        self._client, self._path, self._report = client, path, report
        self._journal, self._namer, self._begin = journal, namer, begin
        self._newest: dict[str, datetime] = {}  # the times of the accounts' newest events so far

    def run(self, moved: Moved) -> None:
        """Send every line behind the place where we begin; those before it are only read, for the ids."""
        at = Place()
        sender = Sender(self._deliver, after=lambda: moved(sender.done(at.offset), at.lines, sender.waits))
        try:
            with sender:
                for at in self._places(sender):
                    self._journal.passed(at)
                    self._journal.save(sender.done(at.offset))
        finally:
            self._journal.save(sender.done(at.offset))

    def _places(self, sender: Sender) -> Iterator[Place]:
        """Puts the lines to the sender, and yields places at which a run could go on, the end of the file last."""
        digest, lines, number, passed, end = hashlib.blake2b(), 0, 0, 0, 0
        with self._path.open("rb") as file, self._path.open("rb") as again:
            for line in lines_of(file):
                digest.update(again.read(line.end - end))
                lines, number, end = lines + 1, line.number, line.end
                self._line(sender, line)
                if end >= passed + EVERY_BYTES and end > self._begin.offset:
                    passed = end
                    yield Place(end, number, lines, digest.hexdigest())
        if end > self._begin.offset:
            yield Place(end, number, lines, digest.hexdigest())

    def _line(self, sender: Sender, line: Line) -> None:
        fresh = line.end > self._begin.offset
        try:
            event = self._namer.event(line)
        except BadLine as error:
            if fresh:
                self._report.wrong(line.number, ("", str(error)))
            return
        late = self._is_late(event)
        if fresh:
            if not event.dated:
                self._report.warn(line.number, "", UNDATED)
            if late:
                self._report.warn(line.number, "", LATE)
            sender.put(event.account, Item(line.number, line.begin, event.body))

    def _is_late(self, event: EventLine) -> bool:
        if event.time is None:
            return False
        newest = self._newest.setdefault(event.account, event.time)
        if event.time > newest:
            self._newest[event.account] = event.time
        return event.time < newest - WEEK

    def _deliver(self, items: Sequence[Item]) -> None:
        deliver(self._client, self._report, items, lambda _, field: field)
