"""`touchline import --dry-run`: what the files would do to whom. Nothing is sent or stored."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from backbone.clock import WallClock
from backbone.errors import Invalid
from backbone.web.validation import validate
from schemas.addresses import normal
from schemas.event import LATE_US, Event, decode, microseconds
from schemas.rule import RuleIn, TiersDoc
from services.actions.api.suppressions import SuppressionIn
from services.cli.client import ApiError, Client
from services.cli.imports.accounts import Update, updates
from services.cli.imports.columns import Column
from services.cli.imports.csv_rows import Table
from services.cli.imports.event_lines import BadLine, Line, Namer, lines_of
from services.cli.imports.events import UNDATED
from services.cli.imports.judge import Judge
from services.cli.imports.progress import bar
from services.cli.imports.report import Report
from services.cli.imports.standing import Shown, Standing, changes, profile_of
from services.cli.imports.suppressions import good_rows, named
from services.cli.terminal import Terminal
from services.ingest.decoding.events import Refusal
from services.ingest.decoding.validation import EventValidator
from services.ingest.formats import native
from services.ingest.formats.base import Incoming

AT_ONCE = 500  # lines
EXAMPLES = 20  # accounts that are named for one thing


class Named:
    """How many there are of something, and the first of them."""

    def __init__(self) -> None:
        self.count, self.first = 0, list[str]()

    def add(self, name: str) -> None:
        """Count one."""
        self.count += 1
        if len(self.first) < EXAMPLES:
            self.first.append(name)


@dataclass
class OfAccounts:
    """What a table of accounts would do."""

    rows: int = 0
    seen: dict[str, bool] = field(default_factory=dict)  # accounts that are new (true) or change
    new: Named = field(default_factory=Named)
    changed: Named = field(default_factory=Named)
    same: int = 0
    fields: Counter[str] = field(default_factory=Counter)
    # By the tiers before and after; before is "" for new ones.
    tiers: dict[tuple[str, str], Named] = field(default_factory=dict)
    # Account to (path, before, after).
    examples: dict[str, list[tuple[str, Any, Any]]] = field(default_factory=dict)


@dataclass
class OfEvents:
    """What a file of events holds. Times in microseconds."""

    lines: int = 0
    types: Counter[str] = field(default_factory=Counter)
    accounts: set[str] = field(default_factory=set)
    unknown: Named = field(default_factory=Named)
    first: int | None = None
    last: int | None = None
    # More than seven days behind the newest of their account on the server, or before in the file.
    late: int = 0


@dataclass
class OfSuppressions:
    """What a table of suppressions would do."""

    new: int = 0
    known: int = 0


class World:
    """What the dry run of several files shares: the accounts as they are, and the rules in memory."""

    def __init__(
        self, client: Client, rules: Sequence[RuleIn], tiers: TiersDoc, *, historical: bool, in_order: bool
    ) -> None:
        self.client, self.historical = client, historical
        self.now = WallClock().now()
        self.judge = Judge(rules, tiers, self.now, in_order=in_order)
        self.standing = Standing(client)
        self.newest: dict[str, int] = {}  # of the accounts that events came for
        names: Mapping[str, str] = {}
        with suppress(ApiError):
            names = client.call("GET", "/v1/aliases")["aliases"]
        self._names = names
        self._door = EventValidator(now=self.now, wall=True, erasing=True, new_id=str, nul=True, inside=False)

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *_: object) -> None:
        self.standing.__exit__()

    def meet(self, names: Sequence[str]) -> list[str]:
        """Learn of accounts before anything happens to them. Returns those that the server does not know."""
        fresh = [name for name in dict.fromkeys(names) if name not in self.newest]
        known = self.standing.of(fresh)
        for name in fresh:
            self.learn(name, known.get(name))
        return [name for name in fresh if name not in known]

    def learn(self, name: str, shown: Shown | None) -> None:
        """What the server knows of an account."""
        if name in self.newest:
            return
        self.newest[name] = 0
        if shown is not None:
            first, last = (
                microseconds(msgspec.convert(shown[at], datetime))
                for at in ("first_event_at", "last_event_at")
            )
            self.judge.known(profile_of(name, shown), first, last)
            self.newest[name] = last

    def read(self, body: bytes) -> Event | Refusal:
        """An event as the door takes it."""
        (item,) = native.decode(Incoming(body))
        if isinstance(item, Refusal):
            return item
        item.type = self._names.get(item.type, item.type)
        checked = self._door.check(0, item)
        return (
            checked if isinstance(checked, Refusal) else decode(checked.value, place="", timestamp=self.now)
        )

    def of_accounts(
        self, table: Table, columns: Sequence[Column], report: Report, err: Terminal
    ) -> OfAccounts:
        """What the rows would change. The rules see each of them."""
        found = OfAccounts()
        with bar(table.path, table.size, err) as moved:
            for update in updates(table, columns, report, self.standing):
                found.rows += 1
                self._account(found, update)
                moved(update.position, found.rows, "")
        return found

    def _account(self, found: OfAccounts, update: Update) -> None:
        name = update.row.account
        self.learn(name, update.shown)
        if not update.changes:
            found.same += 1
            return
        if name not in found.seen:
            found.seen[name] = update.new
            (found.new if update.new else found.changed).add(name)
        new = found.seen[name]
        before = "" if update.new else self.judge.tier(update.before)
        after = self.judge.tier(update.after)
        if before != after:
            found.tiers.setdefault((before, after), Named()).add(name)
        if not new:
            differences = list(changes(update.before, update.after))
            found.fields.update(_field(path) for path, _, _ in differences)
            if len(found.examples) < EXAMPLES or name in found.examples:
                found.examples.setdefault(name, []).extend(differences)
        self.judge.update(name, update.body, historical=self.historical)

    def of_events(self, path: Path, report: Report, err: Terminal) -> OfEvents:
        """What the lines say. The rules see as many of them as fit into memory."""
        found = OfEvents()
        size = path.stat().st_size
        with (
            path.open("rb") as file,
            Namer(historical=self.historical) as namer,
            bar(path, size, err) as moved,
        ):
            lines = lines_of(file)
            while part := list(islice(lines, AT_ONCE)):
                events = [each for line in part if (each := self._line(namer, line, report)) is not None]
                for name in self.meet([event.account or "" for event in events]):
                    found.unknown.add(name)
                found.lines += len(part)
                for event in events:
                    self._event(found, event)
                moved(part[-1].end, found.lines, "")
        return found

    def _line(self, namer: Namer, line: Line, report: Report) -> Event | None:
        try:
            said = namer.event(line)
        except BadLine as error:
            report.wrong(line.number, ("", str(error)))
            return None
        read = self.read(said.body)
        if isinstance(read, Refusal):
            report.wrong(line.number, (read.field, read.message))
            return None
        if not said.dated:
            report.warn(line.number, "", UNDATED)
        return read

    def _event(self, found: OfEvents, event: Event) -> None:
        name = event.account or ""
        time = self.now if event.time is None else microseconds(event.time)
        found.types[event.type] += 1
        found.accounts.add(name)
        found.first = time if found.first is None else min(found.first, time)
        found.last = time if found.last is None else max(found.last, time)
        found.late += time < self.newest[name] - LATE_US
        self.newest[name] = max(self.newest[name], time)
        self.judge.event(event)

    def of_suppressions(
        self, table: Table, places: Mapping[str, int], report: Report, err: Terminal
    ) -> OfSuppressions:
        """Which addresses are suppressed already."""
        found = OfSuppressions()
        kept = {(one["address"], one["topic"]) for one in self.client.items("/v1/suppressions")}
        with bar(table.path, table.size, err) as moved:
            for row in good_rows(table, places, report):
                moved(row.position, row.line, "")
                try:
                    model = validate(SuppressionIn, row.body)
                except Invalid as error:
                    report.wrong(row.line, *named(table, places, error.errors))
                    continue
                key = normal(model.address), model.topic
                found.known += key in kept
                found.new += key not in kept
                kept.add(key)
        return found


def _field(path: str) -> str:
    """A field of an account, or of any contact."""
    return f"contact.{path.rpartition('.')[2]}" if path.startswith("contacts.") else path
