"""The ids of an account, packed a few at a time."""

import uuid

import msgspec
import pytest

from services.rules.engine.account_state import AccountState
from services.rules.engine.erasure import DEPARTED_KEPT, depart
from services.rules.engine.id_codec import pack_ids, unpack_ids
from services.rules.engine.state_codec import decode, encode

IDS = [str(uuid.UUID(int=n)) for n in range(1, 8)]


def packed(state: AccountState) -> list[object]:
    ids, others, state.packed_count = pack_ids(state.seen, state.packed, state.packed_count)
    return list(unpack_ids(ids, others))


@pytest.mark.parametrize("ids", [IDS, [f"e{n}" for n in range(7)], [*IDS[:3], "x", *IDS[3:], "y"]])
def test_an_id_that_comes_back_stands_at_the_end(ids: list[str]) -> None:
    state = AccountState("a")
    for place, id_ in enumerate(ids[:-1]):
        state.seen[id_] = place
        assert packed(state) == list(state.seen)
    state.seen[ids[0]] = state.seen.pop(ids[0])
    assert packed(state) == list(state.seen)
    state.seen[ids[2]] = state.seen.pop(ids[2])
    state.seen[ids[-1]] = 9
    assert packed(state) == list(state.seen)


@pytest.mark.parametrize(
    "odd",
    [
        "", "x", "0" * 36, "-" * 36, IDS[0].upper().replace("0", "A"),
        IDS[0].replace("-", "", 1) + "-", IDS[0][:-1] + " ",
        str(uuid.UUID(int=0)), str(uuid.UUID(int=1 << 64)), ("s", IDS[0]), IDS[0][:-1], IDS[0] + "0",
        "00000000-0000-0000-0000-00000000000-", "0000000-00000-0000-0000-000000000001",
    ],
)  # fmt: skip
def test_what_is_no_uuid_comes_back_as_it_was(odd: str | tuple[str, str]) -> None:
    for ids in ([odd], [*IDS[:2], odd, *IDS[2:-1]], [odd, IDS[3]], [*IDS[:4], odd]):
        state = AccountState("a")
        state.seen = dict.fromkeys(ids, 0)
        assert packed(state) == ids
        state.seen[IDS[-1]] = 1
        assert packed(state) == list(state.seen)


def test_forgotten_ids_go() -> None:
    state = AccountState("a")
    state.seen = dict.fromkeys(IDS, 0)
    packed(state)
    state.seen = dict.fromkeys(IDS[4:], 0)
    assert packed(state) == IDS[4:]


def test_a_state_of_a_release_that_knew_no_departures() -> None:
    """Whose events are gone is not known for what came before it was read anew; what comes afterwards is."""
    state = AccountState("a")
    state.seen = {"x": 5 << 40 | 17, "y": 6 << 40 | 40}
    new = encode(state)
    assert (decode(new).veil, decode(new).departed) == (0, [])
    stored = msgspec.msgpack.decode(new)
    old = decode(msgspec.msgpack.encode(stored[:-3]))
    assert (old.veil, old.departed, list(old.seen)) == (41, [], ["x", "y"])
    depart(old, 50)
    again = decode(encode(old))
    assert (again.veil, again.departed) == (41, [50])


def test_departures_are_remembered_up_to_a_number() -> None:
    state = AccountState("a")
    for offset in range(DEPARTED_KEPT + 3):
        depart(state, offset)
    assert (state.veil, state.departed) == (3, list(range(3, DEPARTED_KEPT + 3)))
