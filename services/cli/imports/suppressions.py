"""`touchline import suppressions.csv`: addresses that get no mail, with the topic if it is one, and the reason."""

from collections.abc import Mapping, Sequence

import msgspec

from services.cli.client import ApiError, Client
from services.cli.imports.csv_rows import Table
from services.cli.imports.progress import bar
from services.cli.imports.report import Report
from services.cli.imports.sender import Item, Sender
from services.cli.terminal import Terminal

PATH = "/v1/suppressions"
FIELDS = ("address", "topic", "reason")


def import_suppressions(
    client: Client, table: Table, places: Mapping[str, int], report: Report, err: Terminal
) -> None:
    """Suppress every address. `places`: of the fields in a row. What is suppressed already stays as it is."""

    def deliver(items: Sequence[Item]) -> None:
        (item,) = items
        try:
            client.send(PATH, item.body, "application/json")
        except ApiError as error:
            if error.status != 422 or not error.errors:
                raise
            named = ((table.header[places[one["field"]]], one["message"]) for one in error.errors)
            report.wrong(item.line, *named)
        else:
            report.took(1)

    rows = 0
    with bar(table.path, table.size, err) as moved:
        sender = Sender(
            deliver, after=lambda: moved(sender.done(table.position), rows, sender.waits), at_once=1
        )
        with sender:
            for row in table.rows():
                rows += 1
                body = {} if row.wrong else suppression(places, row.cells)
                if row.wrong is not None:
                    report.wrong(row.line, ("", row.wrong))
                elif "address" not in body:
                    report.wrong(
                        row.line, (table.header[places["address"]], "is empty: every row needs an address")
                    )
                else:
                    sender.put(body["address"], Item(row.line, table.position, msgspec.json.encode(body)))


def suppression(places: Mapping[str, int], cells: Sequence[str]) -> dict[str, str]:
    """The body of a row; an empty cell says nothing."""
    return {name: cell for name, place in places.items() if (cell := cells[place].strip())}
