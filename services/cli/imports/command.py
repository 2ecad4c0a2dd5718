"""The story of `touchline import`: which files there are, one after the other, and what came of them."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from backbone.errors import TouchlineError
from services.cli.client import Client
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
from services.cli.imports.report import Report, Unusable
from services.cli.imports.suppressions import import_suppressions
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


@dataclass(frozen=True)
class Events:
    """A file of events."""

    path: Path


@dataclass(frozen=True)
class Accounts:
    """A table of accounts."""

    table: Table
    columns: list[Column]


@dataclass(frozen=True)
class Suppressions:
    """A table of suppressions, with the place of each field in a row."""

    table: Table
    places: dict[str, int]


Source = Suppressions | Events | Accounts
_ORDER = (Suppressions, Events, Accounts)


def import_(paths: Sequence[Path], options: Options) -> int:
    """Import the files. Returns the exit status: 2 for a file or an option of no use, with which nothing is sent."""
    try:
        sources = read(paths, options)
    except Unusable as error:
        err.print(f"[red]error[/]   {escape(error.message)}")
        return 2
    with closing(Client()) as client:
        bad = sum([_import(client, source, options) for source in sources])
    return 1 if bad else 0


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
    path = source.path if isinstance(source, Events) else source.table.path
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
        err.print(
            f"{path}: not finished: {report.taken:,} taken. Run it again to go on: nothing counts twice.",
            markup=False,
        )
        raise
    report.end()
    out.print(_sum(source, report, same, before), markup=False)
    return report.bad


def _sum(source: Source, report: Report, same: int, before: int) -> str:
    noun = {Events: "events", Accounts: "accounts", Suppressions: "addresses"}[type(source)]
    said = [f"{report.taken:,} {'rows of ' if noun == 'accounts' else ''}{noun} taken"]
    if same:
        said.append(f"{same:,} said nothing new")
    if before:
        said.append(f"{before:,} were taken by a run before")
    if report.bad:
        said.append(f"{report.bad:,} {'line' if report.bad == 1 else 'lines'} not taken")
    return f"{report.path}: {', '.join(said)}"
