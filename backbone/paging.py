"""Lists: newest first, by `limit` and an opaque `cursor`; versions of a thing as ETags."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Query
from sqlalchemy import ColumnElement, Connection, Row, Select, tuple_

from backbone.errors import Invalid, PreconditionFailed

Scalar = str | int
_decoder = msgspec.json.Decoder(list[Scalar])
_LONG = 2**63


class Paging(msgspec.Struct, frozen=True):
    """Which part of a list is asked for: `limit` items after the place that `cursor` names."""

    limit: int = 100
    cursor: tuple[Scalar, ...] | None = None


def paging(
    limit: Annotated[int, Query(ge=1, le=1_000, description="items on a page")] = 100,
    cursor: Annotated[
        str | None, Query(max_length=2_000, description="`next_cursor` of the page before")
    ] = None,
) -> Paging:
    """The FastAPI dependency behind `Pages`."""
    return Paging(limit, decode_cursor(cursor) if cursor else None)


Pages = Annotated[Paging, Depends(paging)]  # a handler's parameter: `pages: Pages`


def encode_cursor(place: Sequence[Scalar]) -> str:
    """An opaque text that names a place in a list."""
    return base64.urlsafe_b64encode(msgspec.json.encode(list(place))).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> tuple[Scalar, ...]:
    """The place in a cursor. Raises `Invalid` for one that we did not make."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = tuple(_decoder.decode(raw))
    except (binascii.Error, ValueError):  # msgspec's and Unicode's errors are ValueErrors
        raise _bad_cursor() from None
    if any(isinstance(part, int) and not -_LONG <= part < _LONG for part in place) or "\0" in str(place):
        raise _bad_cursor()
    return place


def _bad_cursor() -> Invalid:
    return Invalid([{"field": "cursor", "message": "is not a cursor of this list"}])


def page(
    connection: Connection,
    query: Select[Any],
    order: Sequence[ColumnElement[Any]],
    paging: Paging,
    render: Callable[[Row[Any]], Any],
) -> dict[str, Any]:
    """One page: `{"items": […], "next_cursor": text or null}`.

    `order`: columns, together unique, sorted descending; `query` has to select them. `render` makes a row an
    item.
    """
    if paging.cursor is not None:
        if len(paging.cursor) != len(order) or not _fits(order, paging.cursor):
            raise _bad_cursor()
        query = query.where(tuple_(*order) < tuple_(*paging.cursor))
    query = query.order_by(*(column.desc() for column in order)).limit(paging.limit + 1)
    rows = connection.execute(query).all()
    kept = rows[: paging.limit]
    more = len(rows) > paging.limit
    place = [kept[-1]._mapping[column] for column in order] if more else []  # noqa: SLF001 - public
    return {"items": [render(row) for row in kept], "next_cursor": encode_cursor(place) if more else None}


def _fits(order: Sequence[ColumnElement[Any]], place: Sequence[Scalar]) -> bool:
    kinds = [column.type.python_type for column in order]
    return all(isinstance(part, kind) for part, kind in zip(place, kinds, strict=True))


def etag(version: int | str) -> str:
    """The ETag of a version."""
    return f'"{version}"'


def check_if_match(header: str | None, current: str | None) -> None:
    """Raise `PreconditionFailed` if `If-Match` is given and names another version than `current` (None.

    Not there).
    """
    if header is None:
        return
    wanted = {part.strip().removeprefix("W/") for part in header.split(",")}
    if current is None or ("*" not in wanted and current not in wanted):
        now = "it does not exist" if current is None else f"its version is {current}"
        raise PreconditionFailed(f"If-Match names {header[:100]}, but {now} now")
