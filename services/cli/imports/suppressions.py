"""`touchline import suppressions.csv`: addresses that get no mail, with the topic if it is one, and the reason."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from backbone.errors import FieldError
from services.cli.client import ApiError, Client
from services.cli.imports.csv_rows import Table
from services.cli.imports.progress import bar
from services.cli.imports.report import Report
from services.cli.imports.sender import Item, Sender
from services.cli.terminal import Terminal

PATH = "/v1/suppressions"
FIELDS = ("address", "topic", "reason")


class Good(NamedTuple):
    """A row with an address. `position`: how far the file has been read (bytes)."""

    line: int
    position: int
    body: dict[str, str]


def good_rows(table: Table, places: Mapping[str, int], report: Report) -> Iterator[Good]:
    """The rows that can be sent; the others are told. `places`: of the fields in a row. An empty cell says nothing."""
    for row in table.rows():
        if row.wrong is not None:
            report.wrong(row.line, ("", row.wrong))
            continue
        body = {name: cell for name, place in places.items() if (cell := row.cells[place].strip())}
        if "address" in body:
            yield Good(row.line, table.position, body)
        else:
            header = table.header[places["address"]]
            report.wrong(row.line, (header, "is empty: every row needs an address"))


def named(table: Table, places: Mapping[str, int], errors: Sequence[FieldError]) -> list[tuple[str, str]]:
    """Errors of a body by the columns of the table."""
    return [(table.header[places[one["field"]]], one["message"]) for one in errors]


def import_suppressions(
    client: Client, table: Table, places: Mapping[str, int], report: Report, err: Terminal
) -> None:
    """Suppress every address. What is suppressed already stays as it is."""

    def deliver(items: Sequence[Item]) -> None:
        (item,) = items
        try:
            client.send(PATH, item.body, "application/json")
        except ApiError as error:
            if error.status != 422 or not error.errors:
                raise
            report.wrong(item.line, *named(table, places, error.errors))
        else:
            report.took(1)

    rows = 0
    with bar(table.path, table.size, err) as moved:
        sender = Sender(
            deliver, after=lambda: moved(sender.done(table.position), rows, sender.waits), at_once=1
        )
        with sender:
            for row in good_rows(table, places, report):
                rows += 1
                sender.put(row.body["address"], Item(row.line, row.position, msgspec.json.encode(row.body)))
