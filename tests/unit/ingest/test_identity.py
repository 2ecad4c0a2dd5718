"""Who belongs where, against a slow and obvious reading of the contract; and what must hold however calls come."""

from __future__ import annotations

from typing import Any

from hypothesis import given, note
from hypothesis import strategies as st

from schemas.event import Event, from_microseconds, microseconds
from schemas.merging import SEGMENT, SEGMENT_PUBLIC, Merge, merge_of
from services.ingest.identity.book import GROUPS_KEPT, TRAITS_BYTES, IdentityBook
from services.ingest.identity.placement import IdentityCall, Placement, place
from tests.oracle.identity import Call, Oracle

KINDS = {"track": "clicked", "identify": "contact.updated", "group": "account.updated"}
HOUR = 3_600_000_000


def said(call: Call) -> IdentityCall:
    traits: dict[str, Any] | None = {"attributes": dict(call.traits)} if call.traits else None
    if call.kind == "identify":
        traits = {"attributes": dict(call.traits)}
    event = Event(
        type=KINDS[call.kind],
        id=call.message or "",
        source=SEGMENT_PUBLIC if call.unvouched else SEGMENT,
        time=from_microseconds(call.time * HOUR),
        contact=call.known,
        data=traits,
        unvouched=call.unvouched,
    )
    return IdentityCall(
        event=event,
        known=call.known,
        anonymous=call.anonymous,
        message=call.message,
        group=call.group,
        named=call.named,
        traits=traits,
    )


class Keeper:
    """One book for all calls, and the merges that were granted: each account's first, none in a circle."""

    def __init__(self) -> None:
        self.book = IdentityBook()
        self.merged: dict[tuple[str, bool], Merge] = {}

    def receive(self, call: Call) -> Placement:
        [placed] = place([said(call)], self.book)
        self.book.untold.clear()  # all that was asked for came to the log
        placed.merges = [merge for merge in placed.merges if self._grants(merge)]
        return placed

    def _grants(self, event: Event) -> bool:
        merge = merge_of(event)
        assert merge is not None
        assert merge.lone
        assert event.source == (SEGMENT_PUBLIC if merge.unvouched else SEGMENT)
        key = (merge.account, merge.unvouched)
        if key in self.merged or (merge.unvouched and (merge.account, False) in self.merged):
            return False
        reached = {merge.into}
        for _ in range(50):
            reached |= {
                one.into
                for (account, level), one in self.merged.items()
                if account in reached and (merge.unvouched or not level)
            }
        if merge.account not in reached:
            self.merged[key] = merge
        return merge.account not in reached


USERS = st.sampled_from(
    [(None, "a"), (None, "b"), ("u", None), ("v", None), ("u", "a"), ("v", "a"), ("u", "b")]
)
NAMED = st.sampled_from([None, None, None, None, "c"])


@st.composite
def calls(draw: st.DrawFn) -> list[Call]:
    made: list[Call] = []
    for number in range(draw(st.integers(1, 12))):
        if made and draw(st.integers(0, 4)) == 0:
            made.append(draw(st.sampled_from(made)))  # sent again
            continue
        known, anonymous = draw(USERS)
        kind = draw(st.sampled_from(list(KINDS)))
        unvouched = draw(st.booleans())
        message = draw(st.sampled_from([f"m{number}", "same"]))  # of one user a messageId names one call
        taken = {(one.user, one.message, one.unvouched) for one in made}
        made.append(
            Call(
                kind=kind,
                time=draw(st.integers(1, 5)),
                known=known,
                anonymous=anonymous,
                group=draw(st.sampled_from("gh")) if kind == "group" else None,
                named=draw(NAMED) if kind != "group" else None,
                message=f"m{number}" if (known or anonymous, message, unvouched) in taken else message,
                unvouched=unvouched,
                traits=tuple(draw(st.dictionaries(st.sampled_from("xy"), st.integers(0, 3))).items())
                if kind == "identify"
                else (),
            )
        )
    return made


@given(calls())
def test_against_the_oracle(made: list[Call]) -> None:
    note("\n".join(map(str, made)))
    keeper, oracle = Keeper(), Oracle()
    for call in made:
        placed, where = keeper.receive(call), oracle.receive(call)
        event = placed.event
        assert event.time is not None
        got = (event.account, event.contact, microseconds(event.time) // HOUR)
        assert got == (where.account, where.contact, where.time)
        assert (placed.contact.contact if placed.contact else None) == where.made
        if placed.contact is not None and where.made is not None:
            traits = oracle.traits(where.made, call.unvouched)
            assert (placed.contact.data or {}).get("attributes", {}) == traits
            assert placed.contact.account == where.account
        assert {key: one.into for key, one in keeper.merged.items()} == oracle.merged


@given(calls())
def test_what_is_sent_again_goes_where_it_went_and_asks_for_nothing_new(made: list[Call]) -> None:
    keeper = Keeper()
    first = [keeper.receive(call) for call in made]
    for call, before in zip(made, first, strict=True):
        again = keeper.receive(call)
        assert again.event == before.event
        assert again.merges == []
        assert (again.contact is None) == (before.contact is None)
        if again.contact is not None and before.contact is not None:
            assert (again.contact.id, again.contact.account) == (before.contact.id, before.contact.account)


@given(calls())
def test_what_a_stranger_sends_moves_nobody_else(made: list[Call]) -> None:
    """With the calls of `track` keys left out, all others go where they go with them, and say the same."""
    with_them, without = Keeper(), Keeper()
    for call in made:
        placed = with_them.receive(call)
        if call.unvouched:
            assert placed.event.unvouched
            assert all(merge.unvouched for merge in placed.merges)
            continue
        alone = without.receive(call)
        assert (placed.event, placed.contact) == (alone.event, alone.contact)
    # What only strangers' calls made is merged by others' calls too, at times sooner; none is left out.
    assert {key for key in without.merged if not key[1]} <= set(with_them.merged)


@given(calls())
def test_nobody_is_left_behind(made: list[Call]) -> None:
    """Who belongs to a group by any of their calls has no account alone that is not merged into another."""
    keeper = Keeper()
    events = [(call, keeper.receive(call).event) for call in made]
    vouched = [(call, event) for call, event in events if not call.unvouched]
    grouped = {call.known for call, _ in vouched if call.kind == "group" and call.known}
    tied = {call.anonymous for call, _ in vouched if call.anonymous and call.known}
    for _, event in vouched:
        if event.account in (grouped | tied):
            assert (event.account, False) in keeper.merged


def test_the_order_of_segments_own_guide_ends_with_one_account() -> None:
    keeper = Keeper()
    guide = [
        Call("identify", 1, "u", traits=(("email", 1),), message="1"),
        Call("track", 1, "u", message="2"),
        Call("group", 1, "u", group="g", message="3"),
        Call("track", 1, "u", message="4"),
    ]
    placed = [keeper.receive(call) for call in guide]
    assert [one.event.account for one in placed] == ["u", "u", "g", "g"]
    assert placed[2].contact is not None
    assert (placed[2].contact.account, placed[2].contact.contact) == ("g", "u")
    assert placed[2].contact.data == {"attributes": {"email": 1}}
    assert keeper.merged == {("u", False): Merge("u", "g", lone=True, contact="u")}


def test_a_call_without_a_message_id_has_no_memory() -> None:
    keeper = Keeper()
    call = Call("track", 1, "u")
    assert keeper.receive(call).event.account == "u"
    keeper.receive(Call("group", 1, "u", group="g"))
    assert keeper.receive(call).event.account == "g"


def test_two_users_may_have_one_message_id() -> None:
    keeper = Keeper()
    assert keeper.receive(Call("track", 1, "u", message="1")).event.account == "u"
    assert keeper.receive(Call("track", 2, "v", message="1")).event.account == "v"
    assert keeper.receive(Call("track", 3, "v", message="1")).event.time == from_microseconds(2 * HOUR)


def test_a_merge_is_asked_for_until_it_is_told() -> None:
    book = IdentityBook()
    place([said(Call("track", 1, None, "a", message="1"))], book)
    tie = Call("track", 2, "u", "a")
    [first] = place([said(tie)], book)
    [again] = place([said(tie)], book)
    assert [merge.id for merge in first.merges] == [merge.id for merge in again.merges] != []
    book.untold.clear()
    assert place([said(tie)], book)[0].merges == []


def test_histories_and_traits_are_bounded() -> None:
    book = IdentityBook()
    for number in range(100):
        place([said(Call("group", number, "u", group=f"g{number // 3}"))], book)
    kept = book.groups["u", False]
    assert len(kept) == GROUPS_KEPT
    assert kept[-1] == (99 * HOUR, "g33")
    assert set(book.new_groups) == {("u", False, time) for time, _ in kept}
    for number in range(100):
        place([said(Call("identify", 1, "u", traits=((f"t{number}" + "x" * 1_000, number),)))], book)
    names = list(book.traits["u", False]["attributes"])
    assert 20 < len(names) < TRAITS_BYTES / 1_000
    assert names[-1].startswith("t99")


def test_a_run_of_one_group_is_kept_by_its_ends() -> None:
    book = IdentityBook()
    for number in range(200):
        place([said(Call("group", number, "u", group="g"))], book)
    assert len(book.groups["u", False]) <= GROUPS_KEPT
    assert {book.group("u", time * HOUR, False) for time in range(200)} == {"g"}
