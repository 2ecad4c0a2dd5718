"""Lists, newest first, with `limit` and an opaque `cursor`; and versions as ETags."""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Query
from pydantic import AfterValidator
from sqlalchemy import ColumnElement, Connection, Row, Select, tuple_

from backbone.errors import Invalid, PreconditionFailed
from schemas.event import microseconds
from schemas.timestamps import QueryMoment

Scalar = str | int
_decoder = msgspec.json.Decoder(list[Scalar])
_LONG = 2**63
READ_AT_ONCE = 500  # rows


class Paging(msgspec.Struct, frozen=True):
    """Which part of a list is requested: `limit` items after the place that `cursor` names."""

    limit: int = 100
    cursor: tuple[Scalar, ...] | None = None


def paging(
    limit: Annotated[int, Query(ge=1, le=1_000, description="The number of items on a page.")] = 100,
    cursor: Annotated[
        str | None, Query(max_length=2_000, description="The `next_cursor` of the previous page.")
    ] = None,
) -> Paging:
    """The FastAPI dependency behind `Pages`."""
    return Paging(limit, decode_cursor(cursor) if cursor else None)


Pages = Annotated[Paging, Depends(paging)]  # a handler's parameter: `pages: Pages`

# Parameters with which a handler narrows a list: `rule: Text = None`, `after: After = None`, … .
Text = Annotated[str | None, Query(min_length=1, max_length=256)]
After = Annotated[
    QueryMoment | None,
    Query(description="Only items later than this time. Sorts the list by time, newest first."),
]
Before = Annotated[
    QueryMoment | None,
    Query(description="Only items earlier than this time. Sorts the list by time, newest first."),
]


MOST_IDS = 200
Ids = Annotated[
    list[str] | None,
    Query(
        max_length=MOST_IDS, description="Only those with these ids: the parameter is given once for each."
    ),
]


def _address(text: str) -> str:
    if "@" not in text:
        raise ValueError("should be an address, such as jo@us.test")
    return text


Address = Annotated[str | None, Query(max_length=320), AfterValidator(lambda text: text and _address(text))]


def equal(query: Select[Any], **wanted: Any) -> Select[Any]:
    """Only rows with these values in these columns; a value that is None is ignored."""
    columns = query.selected_columns
    for name, value in wanted.items():
        if value is not None:
            query = query.where(columns[name] == value)
    return query


def among(query: Select[Any], ids: Sequence[str] | None) -> Select[Any]:
    """Only rows with one of these ids; None: every row."""
    return query.where(query.selected_columns["id"].in_(ids)) if ids else query


def between(
    query: Select[Any], column: ColumnElement[int], after: datetime | None, before: datetime | None
) -> Select[Any]:
    """Only rows whose time (microseconds) is between these times, both excluded; None: no bound."""
    if after is not None:
        query = query.where(column > microseconds(after))
    return query if before is None else query.where(column < microseconds(before))


def encode_cursor(place: Sequence[Scalar]) -> str:
    """An opaque text that stands for a place in a list."""
    return base64.urlsafe_b64encode(msgspec.json.encode(list(place))).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> tuple[Scalar, ...]:
    """The place in a cursor. Raises `Invalid` if we did not make the cursor."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = tuple(_decoder.decode(raw))
    except (binascii.Error, ValueError):  # msgspec's and Unicode's errors are ValueErrors too
        raise bad_cursor() from None
    if any(isinstance(part, int) and not -_LONG <= part < _LONG for part in place) or "\0" in str(place):
        raise bad_cursor()
    return place


def bad_cursor() -> Invalid:
    """The error for a cursor that does not belong to the list."""
    return Invalid([{"field": "cursor", "message": "is not a cursor of this list"}])


def newest(
    recorded: ColumnElement[int], moment: ColumnElement[int], after: datetime | None, before: datetime | None
) -> list[ColumnElement[Any]]:
    """The order of a list: the order of recording, or the time if `after` or `before` is given.

    So an index serves both. An index by the time alone would be read to its end for the few rows between two times.
    """
    return [recorded] if after is None and before is None else [moment, recorded]


def page(
    connection: Connection,
    query: Select[Any],
    order: Sequence[ColumnElement[Any]],
    paging: Paging,
    render: Callable[[Row[Any]], Any],
    *,
    rising: str = "",
    keep: Callable[[Row[Any]], bool] | None = None,
) -> dict[str, Any]:
    """One page: `{"items": […], "next_cursor": text or null}`.

    `order`: columns that are unique together and never null, sorted descending; `query` must select them. `render`
    turns a row into an item. `rising`: sorts ascending; its cursors carry this name, and a cursor of another order
    is refused. `keep`: which rows of the query belong to the list, for what no query can tell.
    """
    tag = [rising] if rising else []
    if paging.cursor is not None:
        place = _place(paging.cursor, tag, order)
        query = query.where(tuple_(*order) > place if rising else tuple_(*order) < place)
    sorted_by = [column.asc() if rising else column.desc() for column in order]
    query = query.order_by(*sorted_by)
    if keep is None:
        rows: Sequence[Row[Any]] = connection.execute(query.limit(paging.limit + 1)).all()
    else:
        rows = _kept(connection, query, paging.limit + 1, keep)
    kept = rows[: paging.limit]
    more = len(rows) > paging.limit
    last = [kept[-1]._mapping[column] for column in order] if more else []  # noqa: SLF001 - public
    cursor = encode_cursor([*tag, *last]) if more else None
    return {"items": [render(row) for row in kept], "next_cursor": cursor}


def _kept(
    connection: Connection, query: Select[Any], wanted: int, keep: Callable[[Row[Any]], bool]
) -> list[Row[Any]]:
    """The first rows that belong to the list, read little by little."""
    read = connection.execute(query, execution_options={"yield_per": READ_AT_ONCE})
    found = list(islice((row for row in read if keep(row)), wanted))
    read.close()
    return found


def _place(cursor: Sequence[Scalar], tag: Sequence[str], order: Sequence[ColumnElement[Any]]) -> Any:
    """The place in a cursor of this order, for a comparison. Raises `Invalid`."""
    values = cursor[len(tag) :]
    if list(cursor[: len(tag)]) != list(tag) or len(values) != len(order) or not _fits(order, values):
        raise bad_cursor()
    return tuple_(*values)


def _fits(order: Sequence[ColumnElement[Any]], place: Sequence[Scalar]) -> bool:
    kinds = [column.type.python_type for column in order]
    return all(isinstance(part, kind) for part, kind in zip(place, kinds, strict=True))


def etag(version: int | str) -> str:
    """The ETag of a version."""
    return f'"{version}"'


def check_if_match(header: str | None, current: str | None) -> None:
    """Raise `PreconditionFailed` if `If-Match` is given and does not name the version `current`.

    `current` is None if there is no version.
    """
    if header is None:
        return
    wanted = {part.strip().removeprefix("W/") for part in header.split(",")}
    if current is None or ("*" not in wanted and current not in wanted):
        now = "it does not exist" if current is None else f"its version is {current}"
        raise PreconditionFailed(f"If-Match names {header[:100]}, but {now} now")
