"""One account's state: its profile, the event ids it has sent, and a small state per rule and subject.

`slots` are 62-bit digests of rule, generation and part; they are the same in every process. The dicts are keyed by
subject: the slot alone for a whole account, otherwise `(slot, contact, key)`.
"""

import sys
from array import array
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from schemas.event import Event
from schemas.forwarding import ABSORBED, absorbed_of, take_in
from schemas.profile import Contact, Profile, apply_update
from services.rules.engine.fastpath.shared_series import (
    EMPTY,
    Layout,
    SharedSeries,
)
from services.rules.engine.id_codec import EventKey

SubjectKey = int | tuple[int, str | None, str | None]
Subject = tuple[str | None, str | None]  # contact (in contact scope), key (with `by`)
OFFSET_BITS = 40
OFFSETS = (1 << OFFSET_BITS) - 1
SWEEP_FLOOR = 64
INTEGERS = range(-(1 << 63), 1 << 64)  # the integers that MessagePack can hold
LARGEST = int(sys.float_info.max)


class Wait(NamedTuple):
    """A deadline that is past by its own span alone. `clause`: of the heartbeat that it waits for or was moved by."""

    bound: int  # the deadline without silences
    clause: str
    at: int | None  # it waits for a heartbeat after this time; None: it has been moved to a time ahead


class AccountState:
    """Everything remembered of one account. Times are in microseconds. Only the engine changes it."""

    __slots__ = (
        "account",
        "agenda",
        "born",
        "deep",
        "departed",
        "due",
        "earliest",
        "erased",
        "fired",
        "foreign",
        "held",
        "kept",
        "last",
        "layout",
        "listed",
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
        "waits",
    )

    def __init__(self, account: str) -> None:
        self.account = account
        self.profile = Profile(id=account)
        self.earliest = 0
        self.newest = 0
        self.due: int | None = None  # no moment of this account is earlier
        self.revision = -1  # the rule set that `tier` and `agenda` belong to; -1: none yet
        self.source = ""  # events of this source are known by their bare id
        self.seen: dict[EventKey, int] = {}  # (newest time when it came) << 40 | offset, in order of arrival
        self.older: dict[int, str] = {}  # offset to id, for evidence that `seen` has forgotten
        self.updates: list[int] = []  # digests of the newest updates; none of them may be applied again
        self.muted: dict[int, int] = {}  # offsets of backfilled events to their times: no rule fires at them
        self.born = 0  # offset of the event that made the account, if known
        self.erased = False  # whether a contact has been erased since the account was made
        # offsets at which contacts were erased; only the log says who they were
        self.departed: list[int] = []
        self.veil = 0  # before this offset, nobody knows which contacts have been erased since
        # offsets and times of the events that are too deep for any rule; None: there are none
        self.deep: dict[int, int] | None = None
        self.shared: dict[int, SharedSeries] = {}  # events that several rules count, by rule group
        self.stores: dict[SubjectKey, array[int]] = {}  # events that a single rule counts
        self.last: dict[SubjectKey, int] = {}  # time of the latest trigger
        self.fired: dict[SubjectKey, dict[int, int]] = {}  # offset (or ~moment) that fired, to its time
        self.kept: dict[str, dict[SubjectKey, Any]] = {}  # kind to its state per subject, see `KindState`
        self.sweep_at = SWEEP_FLOOR  # number of ids at which the next sweep is due
        # whether one Segment user's calls alone made the account: 1, or 2 while all of them are unvouched
        self.lone = 0
        # offsets of forwarded events that have a bare id, to the fingerprints of their content
        self.foreign: dict[int, int] = {}
        # slots of rules with `alive` to the daily ticks that wait for a heartbeat before they are decided
        self.held: dict[int, list[int]] = {}
        # the fields below are derived and not stored
        # whether the account's listing shows the profile as it is; whoever changes the profile clears it
        self.listed = False
        self.waits: dict[SubjectKey, Wait] = {}  # subjects whose deadline waits for a heartbeat, or was moved
        self.tier = "tech"
        self.agenda: list[tuple[int, int, SubjectKey]] = []  # heap: moment, order of entry, subject
        self.swept = -1  # the rule set whose last sweep dropped the state of deleted rules
        self.noted: dict[SubjectKey, int] = {}  # subjects of dates that are on the agenda, to their moment
        self.tick_at: int | None = None
        self.layout: Layout = EMPTY  # how to read the shared series
        # the slack of each rule group's rules, a `fastpath.slack.Slack`; rebuilt when missing
        self.slack: dict[int, Any] = {}
        self.packed = bytearray()
        self.packed_count = 0

    def kept_by(self, kind: str) -> dict[SubjectKey, Any]:
        """The state that a kind keeps, by subject."""
        found = self.kept.get(kind)
        if found is None:
            found = self.kept[kind] = {}
        return found

    def contact(self, contact: str | None) -> Contact | None:
        """What is known of a contact. A contact that was only ever named has nothing but its id."""
        if contact is None:
            return None
        return self.profile.contacts.get(contact) or Contact(id=contact)


def slot(*parts: object) -> int:
    """A 62-bit digest that names a part of a rule's state, the same in every process."""
    text = "\0".join(map(str, parts)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big") >> 2


def subject_key(slot: int, subject: Subject) -> SubjectKey:
    """The key under which a part keeps a subject's state."""
    return slot if subject == (None, None) else (slot, *subject)


def subject_of(key: SubjectKey) -> Subject:
    """The subject of a key."""
    return (key[1], key[2]) if isinstance(key, tuple) else (None, None)


def slot_of(key: SubjectKey) -> int:
    """The slot of a key."""
    return key[0] if isinstance(key, tuple) else key


def retire(state: AccountState) -> None:
    """Stop everything from firing for the account: drop the rules' state, keep what recognises repeats."""
    mappings: tuple[dict[Any, Any], ...] = (
        state.shared, state.stores, state.last, state.fired, state.kept, state.older,
         state.muted, state.noted, state.slack, state.held, state.waits,
    )  # fmt: skip
    for mapping in mappings:
        mapping.clear()
    state.agenda.clear()
    state.deep = state.tick_at = None
    state.revision = -1  # no rule set fits, so that no event takes the fast path


_as_bytes = msgspec.msgpack.Encoder().encode


def storable(data: Any) -> Any:
    """JSON in a form that a state can hold: integers beyond 64 bits become the nearest floating-point numbers."""
    try:
        _as_bytes(data)
    except OverflowError:
        return _narrowed(data)
    return data


def merge(profile: Profile, event: Event) -> None:
    """Apply an update, the erasure of a contact or the merge of another account, in values that a state can hold."""
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
