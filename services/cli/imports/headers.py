"""Which column of a table goes where: by its header, or by `--map`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from shlex import quote

from services.cli.imports.columns import ID, Column, column, known_paths, proposed
from services.cli.imports.csv_rows import Table
from services.cli.imports.report import Unusable
from services.cli.imports.suppressions import FIELDS

MOST_NAMED = 12  # columns in one message


@dataclass
class Mapped:
    """What `--map` says: the paths of a header, none to leave it out; `rest`: leave out what has no path."""

    paths: dict[str, list[str]] = field(default_factory=dict)
    rest: bool = False

    def of(self, header: str) -> list[str]:
        """The paths of a header: itself, where nothing is said."""
        return self.paths.get(header, [header])


def mapped(given: Sequence[str], *, rest: bool) -> Mapped:
    """The options. Raises `Unusable`."""
    found = Mapped(rest=rest)
    for text in given:
        header, equals, path = (part.strip() for part in text.rpartition("="))
        if not equals or not header:
            raise Unusable(
                f"--map {quote(text)}: should be HEADER=PATH, such as 'ARR=attributes.arr'; HEADER= leaves it out"
            )
        found.paths.setdefault(header, []).extend([path] if path else [])
    return found


def is_suppressions(table: Table, maps: Mapped) -> bool:
    """Whether the rows are suppressions: one of the columns is `address`."""
    return any("address" in maps.of(header) for header in table.header)


def account_columns(table: Table, maps: Mapped) -> list[Column]:
    """The columns of a table of accounts. Raises `Unusable` with every column that is wrong, and what to say."""
    found: list[Column] = []
    strange: list[tuple[str, str]] = []  # header, the path that it should have had
    for place, header in enumerate(table.header):
        for path in maps.of(header):
            one = column(place, header, path)
            if one is not None:
                found.append(one)
            elif header in maps.paths:
                allowed = ", ".join(known_paths())
                raise Unusable(
                    f"{table.path}: --map {quote(f'{header}={path}')}: there is no {path}; allowed: {allowed}"
                )
            elif not maps.rest and header:
                strange.append((header, proposed(header)))
    _each_once(table, found)
    if strange:
        raise Unusable(_strange(table, strange))
    if not any(one.path == ID for one in found):
        raise Unusable(
            f"{table.path}: no column is the account's id: call it id, or say --map 'HEADER=id'; "
            f"the columns are {_names(table.header)} (a table of suppressions has a column address)"
        )
    return found


def suppression_places(table: Table, maps: Mapped) -> dict[str, int]:
    """The place of each field of a suppression in a row. Raises `Unusable`."""
    places: dict[str, int] = {}
    for place, header in enumerate(table.header):
        for path in maps.of(header):
            if path in FIELDS:
                if path in places:
                    raise Unusable(_twice(table, path, table.header[places[path]], header))
                places[path] = place
            elif header and not maps.rest:
                near = next(iter(get_close_matches(path.lower(), FIELDS, 1)), "")
                hint = f"did you mean {near}? " if near else ""
                raise Unusable(
                    f"{table.path}: {header}: a suppression has address, topic and reason; {hint}Say "
                    f"--map {quote(f'{header}={near}')}, or --skip-unknown to leave out what is no field"
                )
    return places


def check_headers(table: Table, maps: Mapped) -> None:
    """Raises `Unusable` for a `--map` of a column that is not there."""
    for header in maps.paths:
        if header not in table.header:
            by_small = {name.lower(): name for name in table.header}
            near = get_close_matches(header.lower(), by_small, 1)
            hint = f"did you mean {by_small[near[0]]}? " if near else ""
            raise Unusable(
                f"{table.path}: --map {header}: there is no such column; {hint}there are {_names(table.header)}"
            )


def _each_once(table: Table, found: Sequence[Column]) -> None:
    by_path: dict[object, Column] = {}
    for one in found:
        other = by_path.setdefault(one.path, one)
        if other is not one:
            raise Unusable(_twice(table, ".".join(map(str, one.path)), other.header, one.header))
        for length in range(1, len(one.path)):
            whole = next((each for each in found if each.path == one.path[:length]), None)
            if whole is not None:
                raise Unusable(
                    f"{table.path}: {whole.header} holds {one.header} already: keep one of the two"
                )


def _twice(table: Table, path: str, one: str, other: str) -> str:
    named = f"{one} and {other}" if one != other else f"two columns called {one}"
    return f"{table.path}: {named} would both be {path}: rename one, or leave it out with --map 'HEADER='"


def _strange(table: Table, found: Sequence[tuple[str, str]]) -> str:
    """One message for all columns that are no paths, with the options that would take them."""
    options = " ".join(f"--map {quote(f'{header}={path}')}" for header, path in found[:MOST_NAMED])
    more = f" (and {len(found) - MOST_NAMED} more)" if len(found) > MOST_NAMED else ""
    noun = "is no path" if len(found) == 1 else "are no paths"
    address = next(
        (header for header, _ in found if "mail" in header.lower() or "address" in header.lower()), None
    )
    if address is not None and not any(column(0, header, header) for header in table.header):
        return (
            f"{table.path}: {_names([header for header, _ in found])} {noun} of an account. If these are suppressions, "
            f"say --map {quote(f'{address}=address')}; else the columns are: {', '.join(known_paths())}"
        )
    return (
        f"{table.path}: {_names([header for header, _ in found])} {noun} of an account. Perhaps {options}{more}; "
        "--map 'HEADER=' leaves a column out, --skip-unknown all of these"
    )


def _names(headers: Sequence[str]) -> str:
    more = f" and {len(headers) - MOST_NAMED} more" if len(headers) > MOST_NAMED else ""
    return ", ".join(headers[:MOST_NAMED]) + more
