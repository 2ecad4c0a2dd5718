"""What is remembered of one account: its profile, the ids it has sent, and a small state per rule and subject.

`slots` are 62-bit digests of rule, generation and part, the same in every process. A subject's key in the dicts is the
slot alone for a whole account, else `(slot, contact, key)`.
"""

import sys
from array import array
from typing import Any

import msgspec

from schemas.event import Event
from schemas.forwarding import ABSORBED, absorbed_of, take_in
from schemas.profile import Contact, Profile, apply_update
from services.rules.engine.fastpath.shared_series import (
    EMPTY,
    Layout,
    SharedSeries,
    StoredSeries,
    from_stored,
    to_stored,
)
from services.rules.engine.id_codec import EventKey, pack_ids, unpack_ids

SubjectKey = int | tuple[int, str | None, str | None]
Subject = tuple[str | None, str | None]  # contact (in contact scope), key (with `by`)
OFFSET_BITS = 40
OFFSETS = (1 << OFFSET_BITS) - 1
FORMAT = 2
SWEEP_FLOOR = 64
INTEGERS = range(-(1 << 63), 1 << 64)  # that MessagePack has
LARGEST = int(sys.float_info.max)


class Arming(msgspec.Struct, array_like=True):
    """The event that armed an absence: its trigger shows it, however old it is by then."""

    id: str
    source: str
    type: str
    time: int
    offset: int
    contact: str | None = None
    data: Any = None


class Arm(msgspec.Struct, array_like=True):
    """One time at which an absence was armed. `over`: its moment has been, or something ended it."""

    time: int
    over: bool = False
    event: Arming | None = None


class AbsenceWatch(msgspec.Struct, array_like=True):
    """The absence of one subject: its arms, and with `since` the matching times that can still end one."""

    arms: list[Arm] = []
    seen: list[int] = []
    scheduled: int | None = None  # the earliest moment that the account's agenda holds for it (not stored)


class DateMoments(msgspec.Struct, array_like=True):
    """The moments of a date rule's subject that have been: value as text to (moment, whether it ran)."""

    been: dict[str, list[tuple[int, bool]]] = {}


class AllTimeBase(msgspec.Struct, array_like=True):
    """Old records of an all-time aggregate, folded: their number and sum, extremes, and distinct tokens or days."""

    count: int = 0
    total: str = "0"  # millionths, as text: it may exceed 64 bits
    low: int = 0
    high: int = 0
    tokens: list[int] = []
    mark: int = 0  # with `since`: the time of the event that these were counted from


class AccountState:
    """Everything remembered of one account. Times in microseconds; the engine alone changes it."""

    __slots__ = (
        "account",
        "agenda",
        "bases",
        "born",
        "dates",
        "deep",
        "departed",
        "due",
        "earliest",
        "erased",
        "fired",
        "foreign",
        "held",
        "last",
        "layout",
        "lone",
        "muted",
        "newest",
        "noted",
        "older",
        "packed",
        "packed_count",
        "profile",
        "revision",
        "seen",
        "shared",
        "slack",
        "source",
        "stores",
        "sweep_at",
        "swept",
        "tick_at",
        "tier",
        "updates",
        "veil",
        "watches",
    )

    def __init__(self, account: str) -> None:
        self.account = account
        self.profile = Profile(id=account)
        self.earliest = 0
        self.newest = 0
        self.due: int | None = None  # no moment of this account lies before it
        self.revision = -1  # the rule set that `tier` and `agenda` fit; -1: none yet
        self.source = ""  # events of this source are known by their bare id
        self.seen: dict[EventKey, int] = {}  # (newest time when it came) << 40 | offset, in order of arrival
        self.older: dict[int, str] = {}  # offset to id, of evidence that `seen` has forgotten
        self.updates: list[int] = []  # digests of the newest updates: sent again, they must not merge again
        self.muted: dict[int, int] = {}  # offsets of backfilled events to their times: nothing fires at them
        self.born = 0  # offset of the event that made the account, so far as it is known
        self.erased = False  # whether one of its contacts was, since it was made
        self.departed: list[
            int
        ] = []  # offsets at which contacts were erased; who they were only the log says
        self.veil = 0  # for what came before this offset it is not known which contacts were erased since
        self.deep: dict[int, int] | None = (
            None  # offsets of events too deep for any rule, to their times; None: none
        )
        self.shared: dict[int, SharedSeries] = {}  # events that several rules count, by their group
        self.stores: dict[SubjectKey, array[int]] = {}  # events that one rule counts
        self.bases: dict[SubjectKey, AllTimeBase] = {}
        self.last: dict[SubjectKey, int] = {}  # time of the latest trigger
        self.fired: dict[SubjectKey, dict[int, int]] = {}  # offset (or ~moment) that fired, to its time
        self.watches: dict[SubjectKey, AbsenceWatch] = {}
        self.dates: dict[SubjectKey, DateMoments] = {}
        self.held: dict[SubjectKey, list[list[int]]] = {}  # all_of: per member, when it held
        self.sweep_at = SWEEP_FLOOR  # number of ids at which old things are cleared away
        self.lone = (
            0  # whether one Segment user's calls alone made it: 1, and 2 while all of them are unvouched
        )
        self.foreign: dict[
            int, int
        ] = {}  # offsets of events sent on to it that have a bare id, to what they say
        # what follows is derived and not stored
        self.tier = "tech"
        self.agenda: list[tuple[int, int, SubjectKey]] = []  # heap: moment, order put down, subject
        self.swept = -1  # the rule set whose last sweep dropped the state of rules that are gone
        self.noted: dict[SubjectKey, int] = {}  # date parts' subjects on the agenda, to their moment
        self.tick_at: int | None = None
        self.layout: Layout = EMPTY  # how the shared series are to be read
        self.slack: dict[
            int, Any
        ] = {}  # of the rules of a group: `fastpath.slack.Slack`; made anew when missing
        self.packed = bytearray()
        self.packed_count = 0

    def contact(self, contact: str | None) -> Contact | None:
        """What is known of a contact; one that was only named has but its id."""
        if contact is None:
            return None
        return self.profile.contacts.get(contact) or Contact(id=contact)


def subject_key(slot: int, subject: Subject) -> SubjectKey:
    """Where a part keeps a subject's state."""
    return slot if subject == (None, None) else (slot, *subject)


def subject_of(key: SubjectKey) -> Subject:
    """The subject of a key."""
    return (key[1], key[2]) if isinstance(key, tuple) else (None, None)


def slot_of(key: SubjectKey) -> int:
    """The slot of a key."""
    return key[0] if isinstance(key, tuple) else key


def retire(state: AccountState) -> None:
    """Nothing fires for the account any more: what rules remember of it goes; what recognises repeats stays."""
    mappings: tuple[dict[Any, Any], ...] = (
        state.shared, state.stores, state.bases, state.last, state.fired, state.watches, state.dates, state.held,
        state.older, state.muted, state.noted, state.slack,
    )  # fmt: skip
    for mapping in mappings:
        mapping.clear()
    state.agenda.clear()
    state.deep = state.tick_at = None
    state.revision = -1  # no rule set fits it: so no event takes the quick way


_Keyed = list[tuple[Any, Any]]


class _Stored(msgspec.Struct, array_like=True):
    """The stored form. Arrays are their bytes, little-endian machines only (as are all that CPython runs on)."""

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
    veil: int | None = None  # None: of a release that did not remember whose events are gone


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Stored).decode


def _pairs(mapping: dict[SubjectKey, Any]) -> _Keyed:
    return list(mapping.items())


def storable(data: Any) -> Any:
    """JSON as a state can hold it: integers beyond 64 bits become the nearest floating point numbers."""
    try:
        _encode(data)
    except OverflowError:
        return _narrowed(data)
    return data


def merge(profile: Profile, event: Event) -> None:
    """Carry out an update, the erasure of a contact, or the taking in of an account, with what a state can hold."""
    data = storable(event.data)
    if data is not event.data:
        event = msgspec.structs.replace(event, data=data)
    if event.type == ABSORBED and (absorbed := absorbed_of(event)) is not None:
        take_in(profile, absorbed)
    else:
        apply_update(profile, event)


def _narrowed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _narrowed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_narrowed(each) for each in value]
    if type(value) is int and value not in INTEGERS:
        return float(min(max(value, -LARGEST), LARGEST))
    return value


def encode(state: AccountState) -> bytes:
    """The state as bytes, the same for the same history."""
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
            state.profile,
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
            _pairs(state.bases),
            _pairs(state.last),
            _pairs(state.fired),
            [(key, (watch.arms, watch.seen)) for key, watch in state.watches.items()],
            _pairs(state.dates),
            _pairs(state.held),
            state.deep,
            state.lone,
            state.foreign,
            state.erased,
            state.born,
            state.departed,
            state.veil,
        )
    )


def decode(blob: bytes) -> AccountState:
    """The state of `encode`d bytes. Raises `ValueError` for a form of another release."""
    stored = _decode(blob)
    if stored.format != FORMAT:
        raise ValueError(f"an account's state has the form {stored.format}, this release reads {FORMAT}")
    state = AccountState(stored.account)
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
    state.bases = {_key(key): msgspec.convert(value, AllTimeBase) for key, value in stored.bases}
    state.last = {_key(key): value for key, value in stored.last}
    state.fired = {_key(key): value for key, value in stored.fired}
    state.watches = {_key(key): msgspec.convert(value, AbsenceWatch) for key, value in stored.watches}
    state.dates = {_key(key): msgspec.convert(value, DateMoments) for key, value in stored.dates}
    state.held = {_key(key): value for key, value in stored.held}
    state.deep, state.erased, state.born = stored.deep, stored.erased, stored.born
    state.departed = stored.departed
    state.veil = max(stamps[count:], default=0) + 1 if stored.veil is None else stored.veil
    state.lone, state.foreign = stored.lone, stored.foreign
    return state


def _series(part: bytes) -> "array[int]":
    series = array("q")
    series.frombytes(part)
    return series


def _key(key: Any) -> SubjectKey:
    return tuple(key) if isinstance(key, list) else key
