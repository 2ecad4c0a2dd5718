"""The lease book: how much of each key may be leased, and begin at once."""

import pytest

from services.actions.delivery.fair_share import KeyLimit
from services.actions.delivery.lease_book import AHEAD, AHEAD_S, MIN_FREE, MOST_LEASED, LeaseBook

CRM = ("webhook", "crm")
MOST = 10


async def heard(book: LeaseBook, takes: float, pace: float = 0.0) -> KeyLimit:
    book.limits[CRM] = limit = KeyLimit(MOST, independent=True)
    limit.answered(takes)
    limit.pace = pace
    return limit


async def test_of_an_endpoint_that_has_not_answered_little_is_leased() -> None:
    book = LeaseBook()
    room = book.room()
    assert (room.total, room.others, room.of, room.quick) == (MOST_LEASED, AHEAD * MOST, {}, frozenset())
    book.limits[CRM] = KeyLimit(MOST, independent=True)
    for n in range(AHEAD * MOST):
        book.enter(f"act_{n}", CRM)
    assert CRM in book.room().without


@pytest.mark.parametrize(
    ("pace", "most"), [(0, AHEAD * MOST), (200, 200 * AHEAD_S), (1_000_000, MOST_LEASED - 2 * MIN_FREE)]
)
async def test_a_quick_one_begins_as_much_as_it_answers_in_a_moment(pace: float, most: float) -> None:
    book = LeaseBook()
    await heard(book, 0.002, pace)
    room = book.room()
    assert room.quick == {CRM}
    assert room.of[CRM] == most


async def test_a_slow_one_begins_nothing_as_it_is_leased() -> None:
    book = LeaseBook()
    await heard(book, 1.0)
    assert book.room().quick == frozenset()


async def test_whose_end_is_known_makes_room_and_counts_until_it_is_committed() -> None:
    book = LeaseBook()
    await heard(book, 0.002)
    names = [f"act_{n}" for n in range(AHEAD * MOST)]
    for one in names:
        book.enter(one, CRM)
    assert CRM in book.room().without
    low = AHEAD * MOST - MOST  # room for as many as it has places
    again = [book.over(one) for one in names]
    assert again.index(True) == len(names) - low - 1
    assert again.count(True) == 1
    assert book.free == MOST_LEASED  # for the commit that writes these ends down
    assert not any(book.leave(one) for one in names)
    assert (book.free, book.waiting, book.room().of[CRM]) == (MOST_LEASED, {}, AHEAD * MOST)


async def test_a_share_that_has_grown_is_seen() -> None:
    """It got none, or all that it had room for: what more there is has to be asked for, for nothing will wake us."""
    book = LeaseBook()
    limit = await heard(book, 0.002)
    room = book.room()
    assert room.may_have_more([CRM] * (AHEAD * MOST)) == {CRM}
    assert room.may_have_more([CRM] * (AHEAD * MOST - 1)) == frozenset()
    for n in range(AHEAD * MOST):
        book.enter(f"act_{n}", CRM)
    room = book.room()
    assert CRM not in room.of
    assert room.may_have_more([]) == {CRM}
    limit.pace = 1_000
    assert book.room().of[CRM] > 0


async def test_a_quick_one_beside_a_slow_one_leaves_room_for_others() -> None:
    book = LeaseBook()
    await heard(book, 0.002, pace=1_000_000)
    book.limits["webhook", "slow"] = slow = KeyLimit(MOST, independent=True)
    slow.answered(1.0)
    for key in (CRM, ("webhook", "slow")):
        for n in range(MOST_LEASED):
            if key not in book.room().of:
                break
            book.enter(f"act_{key[1]}_{n}", key)
    assert book.room().total >= 2 * MIN_FREE
    assert book.room().others == AHEAD * MOST


async def test_who_ended_after_a_long_time_counts_once() -> None:
    book = LeaseBook()
    await heard(book, 0.002)
    book.enter("act_1", CRM)
    book.waiting.clear()
    assert book.turned_slow("act_1")
    assert (book.free, book.under_way) == (MOST_LEASED, 0)
    book.over("act_1")
    assert (book.free, book.under_way) == (MOST_LEASED, 1)  # until its end is committed
    book.leave("act_1")
    assert (book.free, book.under_way) == (MOST_LEASED, 0)


async def test_however_many_endpoints_hang_another_one_has_room() -> None:
    """Without any, its action was looked at over and over and never leased."""
    book = LeaseBook()
    for n in range(2 * MOST_LEASED):
        book.limits["webhook", f"hung_{n}"] = KeyLimit(MOST, independent=True)
        book.enter(f"act_{n}", ("webhook", f"hung_{n}"))
    assert book.room().others == 1
