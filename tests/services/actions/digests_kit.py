"""Building blocks for the tests of digests on the database."""

from typing import Any

import pytest

from backbone.log import EVENTS, Entry, partition_for
from schemas.event import Event, encode, from_microseconds
from services.actions import tables
from tests.services.actions.kit import ACTIONS, House
from tests.unit.plays.kit import SECOND, T0, account, book

HOUR = 3_600 * SECOND
NINE = T0 + 9 * HOUR
LIST: dict[str, Any] = {"digest": {"template": "hello", "to": "owner", "at": "09:00"}}
ITEMS = tables.digest_items
both = pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
lone = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def name_in(partition: int, taken: str = "") -> str:
    """An account of this partition, of two."""
    return next(n for n in map(str, range(100)) if partition_for(n, 2) == partition and n != taken)


HERE, THERE = name_in(0), name_in(1)


def put(house: House, at: int, *names: str, **fields: Any) -> None:
    """Plays of these accounts, which begin at a moment."""
    for name in names:
        (place,) = house.post(account(at, name))
        house.fire(at, place, account=name, **fields)
    house.settle(2)


def collected(house: House, *more: dict[str, Any]) -> None:
    """A playbook with a digest and more steps, and an item of each account on it."""
    house.save(book(steps=[LIST, *more]))
    put(house, T0 + HOUR, HERE, THERE)


def mail_of_both(house: House, *more: dict[str, Any]) -> Any:
    """The mail that comes of these two items; it waits to be sent."""
    collected(house, *more)
    carry(house, NINE)
    (mail,) = mails(house)
    return mail


def carry(house: House, at: int, *partitions: int) -> None:
    """Carry the clocks of these partitions (default: of all) to a moment."""
    clock = encode(Event(id=f"c{at}", source="t", type="touchline.clock", time=from_microseconds(at)))
    numbers = partitions or tuple(range(house.log.partitions))
    house.log.append(EVENTS, [Entry(partition=one, value=clock) for one in numbers]).result(10)
    house.settle(2)


def mails(house: House, *statuses: str) -> list[Any]:
    return [row for row in house.rows(ACTIONS) if row.status in (statuses or ("pending", "done"))]


def listed(mail: Any) -> list[str]:
    """The accounts of a mail's items."""
    return [item["account"]["id"] for item in mail.rendered["context"]["items"]]


def skipped(house: House) -> list[tuple[str, str, int]]:
    return [(row.account, row.reason, row.done_at) for row in mails(house, "skipped")]
