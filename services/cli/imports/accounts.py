"""`touchline import accounts.csv`: a row is an update of an account. What is so already on the server is not sent."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec

from backbone.errors import Invalid
from backbone.web.validation import validate
from schemas.account import AccountIn
from schemas.names import MAX_NAME
from schemas.profile import Profile
from services.cli.client import Client
from services.cli.imports.columns import ID, Column, Row, attribute, doubt, row_of
from services.cli.imports.csv_rows import Table
from services.cli.imports.delivery import deliver
from services.cli.imports.progress import bar
from services.cli.imports.report import Report
from services.cli.imports.sender import Item, Sender
from services.cli.imports.standing import Shown, Standing, profile_of, updated, with_owner
from services.cli.terminal import Terminal

AT_ONCE = 500  # rows whose accounts are asked for together
SOURCE = "import"
_ROUNDED = re.compile(r"[0-9]([.,][0-9]+)?[eE]\+[0-9]+")


@dataclass(frozen=True)
class Update:
    """A good row: the account before and after it. `new`: no row before and no server knows it."""

    line: int
    row: Row
    shown: Shown | None  # as the server knows it
    new: bool
    before: Profile
    after: Profile
    body: dict[str, Any]
    position: int

    @property
    def changes(self) -> bool:
        """Whether there is anything to send."""
        return self.new or self.before != self.after


def updates(table: Table, columns: Sequence[Column], report: Report, standing: Standing) -> Iterator[Update]:
    """The good rows, in the order of the file; the bad ones are told. A row of an account sees those before it."""
    rows = _good_rows(table, columns, report)
    while part := list(islice(rows, AT_ONCE)):
        known = standing.of(row.account for _, _, row in part)
        so_far: dict[str, Profile] = {}
        for line, position, row in part:
            shown = known.get(row.account)
            new = shown is None and row.account not in so_far
            before = so_far.get(row.account) or profile_of(row.account, shown)
            body = with_owner(row.body, before)
            after = so_far[row.account] = updated(before, body)
            if shown is not None and shown.get("merged_into") is not None:
                report.warn(line, "", "was merged into another account: the row counts there", row.account)
            yield Update(line, row, shown, new, before, after, body, position)


def _good_rows(table: Table, columns: Sequence[Column], report: Report) -> Iterator[tuple[int, int, Row]]:
    for read in table.rows():
        if read.wrong is not None:
            report.wrong(read.line, ("", read.wrong))
            continue
        row = row_of(columns, read.cells)
        wrong = list(_wrong(columns, row))
        if wrong:
            report.wrong(read.line, *wrong)
            continue
        for one in columns:
            said = doubt(attribute(read.cells[one.place].strip())) if one.kind == "any" else None
            if said is not None:
                report.warn(read.line, one.label, said, read.cells[one.place].strip())
        if _ROUNDED.fullmatch(row.account):
            report.warn(
                read.line, _id(columns).label, "looks like a number that a spreadsheet rounded", row.account
            )
        yield read.line, table.position, row


def _id(columns: Sequence[Column]) -> Column:
    return next(one for one in columns if one.path == ID)


def _wrong(columns: Sequence[Column], row: Row) -> Iterator[tuple[str, str]]:
    """Every cell that cannot be taken, by its column."""
    yield from ((one.label, message) for one, message in row.wrong)
    name = _id(columns)
    if not row.account:
        yield name.label, "is empty: every row needs the id of its account"
    elif len(row.account) > MAX_NAME:
        yield name.label, f"should have 1 to {MAX_NAME} characters"
    if row.wrong:
        return
    try:
        validate(AccountIn, row.body)
    except Invalid as error:
        for one in error.errors:
            column = row.column(columns, one["field"])
            yield (column.label if column is not None else one["field"]), one["message"]


def import_accounts(
    client: Client,
    table: Table,
    columns: Sequence[Column],
    report: Report,
    err: Terminal,
    *,
    historical: bool,
) -> int:
    """Send what is new or changed. Returns how many rows said nothing new."""
    same = rows = position = 0

    def named(item: Item, field: str) -> str:
        row: Row = item.more
        column = row.column(columns, field.removeprefix("data."))
        return field if column is None else column.label

    with bar(table.path, table.size, err) as moved, Standing(client) as standing:
        sender = Sender(
            lambda items: deliver(client, report, items, named),
            after=lambda: moved(sender.done(position), rows, sender.waits),
        )
        with sender:
            for update in updates(table, columns, report, standing):
                rows, position = rows + 1, update.position
                if update.changes:
                    event = _event(update, historical=historical, known=standing.readable)
                    sender.put(update.row.account, Item(update.line, position, event, update.row))
                else:
                    same += 1
                    moved(sender.done(position), rows, sender.waits)
        if not standing.readable:
            report.warn(
                1, "", "this key may not read accounts (rules:read): every row is sent, changed or not"
            )
    return same


def _event(update: Update, *, historical: bool, known: bool) -> bytes:
    """The update as an event.

    Its id follows from what it says and from what the account was before: after an interruption the same row gives the
    same event, though the server may not know yet that it has it.
    """
    event: dict[str, Any] = {"type": "account.updated", "source": SOURCE, "account": update.row.account}
    if historical:
        event["historical"] = True
    event["data"] = update.body
    if known:
        last = None if update.shown is None else update.shown.get("last_event_at")
        said = msgspec.json.encode(
            [update.body, msgspec.to_builtins(update.before), last], order="deterministic"
        )
        event["id"] = f"import-{hashlib.blake2b(said, digest_size=16).hexdigest()}"
    return msgspec.json.encode(event)
