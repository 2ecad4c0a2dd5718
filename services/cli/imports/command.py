"""The story of `touchline import`: which files there are, one after the other, and what came of them."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from backbone.errors import TouchlineError
from schemas.rule import RuleIn, TiersDoc
from services.cli.client import Client
from services.cli.documents import FileProblems, find, load
from services.cli.imports import preview_shown
from services.cli.imports.accounts import import_accounts
from services.cli.imports.columns import Column
from services.cli.imports.csv_rows import Table
from services.cli.imports.event_lines import first_line
from services.cli.imports.events import import_events
from services.cli.imports.headers import (
    Mapped,
    account_columns,
    check_headers,
    is_suppressions,
    mapped,
    suppression_places,
)
from services.cli.imports.preview import World
from services.cli.imports.report import Report, Unusable
from services.cli.imports.suppressions import import_suppressions
from services.cli.imports.whom import cooled, rules_of, show_matches, tiers_of
from services.cli.terminal import Terminal

out = Terminal(highlight=False, soft_wrap=True)
err = Terminal(stderr=True, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Options:
    """How the files are read, and what their events do. `historical`: None, where nothing was said."""

    maps: Sequence[str] = ()
    historical: bool | None = None
    encoding: str | None = None
    skip_unknown: bool = False
    dry_run: bool = False
    rules: Sequence[Path] = ()  # files with the rules of a dry run, in place of those on the server


@dataclass(frozen=True)
class Events:
    """A file of events."""

    path: Path


@dataclass(frozen=True)
class Accounts:
    """A table of accounts."""

    table: Table
    columns: list[Column]

    @property
    def path(self) -> Path:
        """The file."""
        return self.table.path


@dataclass(frozen=True)
class Suppressions:
    """A table of suppressions, with the place of each field in a row."""

    table: Table
    places: dict[str, int]

    @property
    def path(self) -> Path:
        """The file."""
        return self.table.path


Source = Suppressions | Events | Accounts
_NOUNS = {
    Events: ("event", "events"),
    Accounts: ("row of accounts", "rows of accounts"),
    Suppressions: ("address", "addresses"),
}
_ORDER = (Suppressions, Events, Accounts)


def import_(paths: Sequence[Path], options: Options) -> int:
    """Import the files. Returns the exit status: 2 for a file or an option of no use, with which nothing is sent."""
    try:
        sources = read(paths, options)
    except Unusable as error:
        err.print(f"[red]error[/]   {escape(error.message)}")
        return 2
    with closing(Client()) as client:
        if options.dry_run:
            return _dry_run(client, sources, options)
        bad = sum([_import(client, source, options) for source in sources])
        if any(not isinstance(source, Suppressions) for source in sources):
            show_matches(client, out)
    return 1 if bad else 0


def _dry_run(client: Client, sources: Sequence[Source], options: Options) -> int:
    """Say what the files would do to whom. Returns the exit status."""
    try:
        rules, tiers = _rules(client, options.rules)
    except FileProblems as error:
        for problem in error.problems:
            err.print(f"[red]error[/]   {escape(str(problem))}")
        return 2
    bad, historical = 0, bool(options.historical)
    in_order = bool(options.rules)  # those of files are not in force yet
    with World(client, rules, tiers, historical=historical, in_order=in_order) as world:
        for source in sources:
            report = Report(source.path, err)
            if isinstance(source, Events):
                events = world.of_events(source.path, report, err)
                report.end()
                preview_shown.events(out, report, events, historical=historical, in_order=in_order)
            elif isinstance(source, Accounts):
                accounts = world.of_accounts(source.table, source.columns, report, err)
                report.end()
                preview_shown.accounts(out, report, accounts)
            else:
                suppressions = world.of_suppressions(source.table, source.places, report, err)
                report.end()
                preview_shown.suppressions(out, report, suppressions)
            bad += report.bad
        with_events = any(isinstance(source, Events) for source in sources)
        if with_events or any(isinstance(source, Accounts) for source in sources):
            touched = list(world.judge.touched(events=with_events))
            cooled(client, touched)
            preview_shown.rules(out, world.judge, touched, of_events=with_events)
    out.print("nothing was sent or stored", markup=False)
    return 1 if bad else 0


def _rules(client: Client, paths: Sequence[Path]) -> tuple[list[RuleIn], TiersDoc]:
    """The rules to judge by, and the tiers. Raises `FileProblems`."""
    if not paths:
        return rules_of(client)
    models = [document.model for document in load(find(paths))]
    tiers = next((model for model in models if isinstance(model, TiersDoc)), None)
    return [model for model in models if isinstance(model, RuleIn)], tiers or tiers_of(client)


def read(paths: Sequence[Path], options: Options) -> list[Source]:
    """What the files are, in the order in which they go in. Raises `Unusable`.

    Suppressions come first, so that nobody is mailed who must not be. Events come before accounts: an update counts as
    of now, and events that are more than a week behind the newest of their account count in no window.
    """
    maps = mapped(options.maps, rest=options.skip_unknown)
    found = [_source(path, maps, options) for path in paths]
    return sorted(found, key=lambda one: _ORDER.index(type(one)))


def _source(path: Path, maps: Mapped, options: Options) -> Source:
    if not path.is_file():
        raise Unusable(f"{path}: there is no such file")
    with path.open("rb") as file:
        begin = file.read(4_096).removeprefix(b"\xef\xbb\xbf").lstrip()
    if begin[:1] in (b"{", b"[") or path.suffix in (".ndjson", ".jsonl"):
        if options.historical is None:
            raise Unusable(
                f"{path}: say --historical for events of the past, which fire no rules, or --live for events that "
                "are to be acted on now"
            )
        first_line(path)
        return Events(path)
    table = Table(path, options.encoding)
    check_headers(table, maps)
    if is_suppressions(table, maps):
        return Suppressions(table, suppression_places(table, maps))
    return Accounts(table, account_columns(table, maps))


def _import(client: Client, source: Source, options: Options) -> int:
    """Import one file and say what came of it. Returns how many lines were bad."""
    path = source.path
    report = Report(path, err)
    historical, same, before = bool(options.historical), 0, 0
    try:
        if isinstance(source, Events):
            before = import_events(client, path, report, err, historical=historical)
        elif isinstance(source, Accounts):
            same = import_accounts(client, source.table, source.columns, report, err, historical=historical)
        else:
            import_suppressions(client, source.table, source.places, report, err)
    except (KeyboardInterrupt, TouchlineError):
        report.end()
        if report.taken:
            said = f"not finished: {report.taken:,} taken. Run it again to go on: nothing counts twice."
            err.print(f"{path}: {said}", markup=False)
        raise
    report.end()
    out.print(_sum(source, report, same, before), markup=False)
    return report.bad


def _sum(source: Source, report: Report, same: int, before: int) -> str:
    one, more = _NOUNS[type(source)]
    said = [f"{report.taken:,} {one if report.taken == 1 else more} taken"]
    if same:
        said.append(f"{same:,} said nothing new")
    if before:
        said.append(f"{before:,} were taken by a run before")
    if report.bad:
        said.append(f"{report.bad:,} {'line' if report.bad == 1 else 'lines'} not taken")
    return f"{report.path}: {', '.join(said)}"
