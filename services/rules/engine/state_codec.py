"""An account's state as bytes and back. The states of kinds go through their own codec (`KindState`)."""

from array import array
from collections.abc import Iterator
from typing import Any

import msgspec

from schemas.profile import Profile
from services.rules.engine.account_state import OFFSET_BITS, OFFSETS, AccountState, SubjectKey
from services.rules.engine.fastpath.shared_series import StoredSeries, from_stored, to_stored
from services.rules.engine.id_codec import pack_ids, unpack_ids
from services.rules.engine.kinds import STATES

FORMAT = 2

_Keyed = list[tuple[Any, Any]]


class _Stored(msgspec.Struct, array_like=True):
    """The stored form. Arrays are their bytes, little-endian only (as are all machines that CPython runs on)."""

    format: int
    account: str
    profile: Profile
    times: tuple[int, int, int | None, int]
    source: str
    ids: bytes
    others: list[Any]
    stamps: bytes
    older: dict[int, str]
    updates: list[int]
    muted: dict[int, int]
    shared: dict[int, StoredSeries]
    stores: dict[int, bytes]
    parted: _Keyed
    bases: _Keyed
    last: _Keyed
    fired: _Keyed
    watches: _Keyed
    dates: _Keyed
    held: _Keyed
    deep: dict[int, int] | None = None
    lone: int = 0
    foreign: dict[int, int] = {}
    erased: bool = False
    born: int = 0
    departed: list[int] = []
    veil: int | None = None  # None: stored by a release that did not remember whose events are gone
    kept: dict[str, _Keyed] = {}  # the states of kinds that have no field above
    ticks: dict[int, list[int]] = {}  # `AccountState.held`


# kinds to the fields above, where the first releases put their states
PLACES = {"threshold": "bases", "absence": "watches", "date": "dates", "all_of": "held"}
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Stored).decode


def _pairs(mapping: dict[SubjectKey, Any]) -> _Keyed:
    return list(mapping.items())


def _kept(state: AccountState, kind: str) -> _Keyed:
    return [(key, one.stored()) for key, one in state.kept.get(kind, {}).items()]


def _as_is(profile: bytes) -> Any:
    return msgspec.Raw(profile)


def encode_profile(profile: Profile) -> bytes:
    """The profile as it stands in the state."""
    return _encode(profile)


def encode(state: AccountState, profile: bytes | None = None) -> bytes:
    """The state as bytes; the same history always gives the same bytes. `profile`: encoded already, by
    `encode_profile`."""
    stores, parted = {}, []
    for key, series in state.stores.items():
        if type(key) is int:
            stores[key] = series.tobytes()
        else:
            parted.append((key, series.tobytes()))
    packed, others, state.packed_count = pack_ids(state.seen, state.packed, state.packed_count)
    values = state.seen.values()
    stamps = array("q", [value >> OFFSET_BITS for value in values])
    stamps.extend([value & OFFSETS for value in values])
    return _encode(
        _Stored(
            FORMAT,
            state.account,
            state.profile if profile is None else _as_is(profile),
            (state.earliest, state.newest, state.due, state.sweep_at),
            state.source,
            packed,
            others,
            stamps.tobytes(),
            state.older,
            state.updates,
            state.muted,
            to_stored(state.shared, state.layout),
            stores,
            parted,
            _kept(state, "threshold"),
            _pairs(state.last),
            _pairs(state.fired),
            _kept(state, "absence"),
            _kept(state, "date"),
            _kept(state, "all_of"),
            state.deep,
            state.lone,
            state.foreign,
            state.erased,
            state.born,
            state.departed,
            state.veil,
            {
                kind: _kept(state, kind)
                for kind in sorted(state.kept)
                if kind not in PLACES and state.kept[kind]
            },
            state.held,
        )
    )


def decode(blob: bytes) -> AccountState:
    """The state from its `encode`d bytes. Raises `ValueError` for another release's form."""
    stored = _read(blob)
    state = AccountState(stored.account)
    state.listed = True
    state.profile, state.source = stored.profile, stored.source
    state.earliest, state.newest, state.due, state.sweep_at = stored.times
    stamps = _series(stored.stamps)
    count = len(stamps) // 2
    values = [stamps[i] << OFFSET_BITS | stamps[count + i] for i in range(count)]
    state.seen = dict(zip(unpack_ids(stored.ids, stored.others), values, strict=True))
    state.older, state.updates, state.muted = stored.older, stored.updates, stored.muted
    state.shared, state.layout = from_stored(stored.shared)
    state.stores = {key: _series(part) for key, part in stored.stores.items()}
    state.stores.update((_key(key), _series(part)) for key, part in stored.parted)
    state.last = {_key(key): value for key, value in stored.last}
    state.fired = {_key(key): value for key, value in stored.fired}
    for kind, pairs in _kept_pairs(stored):
        state.kept[kind] = {_key(key): STATES[kind].restored(value) for key, value in pairs}
    state.deep, state.erased, state.born = stored.deep, stored.erased, stored.born
    state.departed = stored.departed
    state.veil = max(stamps[count:], default=0) + 1 if stored.veil is None else stored.veil
    state.lone, state.foreign, state.held = stored.lone, stored.foreign, stored.ticks
    return state


def decode_parts(blob: bytes, slots: frozenset[int]) -> AccountState:
    """The profile and what is kept under these slots: all that one rule's parts read, at a part of the work.

    It must never be stored.
    """
    stored = _read(blob)
    state = AccountState(stored.account)
    state.profile, (state.earliest, state.newest, _, _) = stored.profile, stored.times
    wanted = {key: one for key, one in stored.shared.items() if not slots.isdisjoint(one[0])}
    state.shared, state.layout = from_stored(wanted)
    state.stores = {key: _series(part) for key, part in stored.stores.items() if key in slots}
    state.stores.update((_key(key), _series(part)) for key, part in _of(stored.parted, slots))
    state.last = {_key(key): value for key, value in _of(stored.last, slots)}
    for kind, pairs in _kept_pairs(stored):
        state.kept[kind] = {_key(key): STATES[kind].restored(value) for key, value in _of(pairs, slots)}
    return state


def decode_profile(blob: bytes) -> Profile:
    """The profile alone. Raises `ValueError` for another release's form."""
    return _read(blob).profile


def _of(pairs: _Keyed, slots: frozenset[int]) -> _Keyed:
    return [(key, value) for key, value in pairs if (key[0] if isinstance(key, list) else key) in slots]


def _kept_pairs(stored: _Stored) -> Iterator[tuple[str, _Keyed]]:
    kept = {kind: getattr(stored, place) for kind, place in PLACES.items()} | stored.kept
    for kind, pairs in kept.items():
        if pairs and kind in STATES:  # a kind that only a later release has is unknown here
            yield kind, pairs


def _read(blob: bytes) -> _Stored:
    stored = _decode(blob)
    if stored.format != FORMAT:
        raise ValueError(f"an account's state has the form {stored.format}, this release reads {FORMAT}")
    return stored


def _series(part: bytes) -> "array[int]":
    series = array("q")
    series.frombytes(part)
    return series


def _key(key: Any) -> SubjectKey:
    return tuple(key) if isinstance(key, list) else key
