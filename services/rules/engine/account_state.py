"""What is remembered of one account: its profile, the ids it has sent, and a small state per rule and subject.

`slots` are 62-bit digests of rule, generation and part, the same in every process. A subject's key in the dicts is the
slot alone for a whole account, else `(slot, contact, key)`.
"""

import sys
from array import array
from hashlib import blake2b
from typing import Any

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
INTEGERS = range(-(1 << 63), 1 << 64)  # that MessagePack has
LARGEST = int(sys.float_info.max)


class AccountState:
    """Everything remembered of one account. Times in microseconds; the engine alone changes it."""

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
        "kept",
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
        self.last: dict[SubjectKey, int] = {}  # time of the latest trigger
        self.fired: dict[SubjectKey, dict[int, int]] = {}  # offset (or ~moment) that fired, to its time
        self.kept: dict[str, dict[SubjectKey, Any]] = {}  # kind to what it keeps of subjects, see `KindState`
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

    def kept_by(self, kind: str) -> dict[SubjectKey, Any]:
        """What a kind keeps of its subjects."""
        found = self.kept.get(kind)
        if found is None:
            found = self.kept[kind] = {}
        return found

    def contact(self, contact: str | None) -> Contact | None:
        """What is known of a contact; one that was only named has but its id."""
        if contact is None:
            return None
        return self.profile.contacts.get(contact) or Contact(id=contact)


def slot(*parts: object) -> int:
    """A 62-bit digest that names a part of a rule's state in every process."""
    text = "\0".join(map(str, parts)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big") >> 2


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
        state.shared, state.stores, state.last, state.fired, state.kept, state.older,
         state.muted, state.noted, state.slack,
    )  # fmt: skip
    for mapping in mappings:
        mapping.clear()
    state.agenda.clear()
    state.deep = state.tick_at = None
    state.revision = -1  # no rule set fits it: so no event takes the quick way


_as_bytes = msgspec.msgpack.Encoder().encode


def storable(data: Any) -> Any:
    """JSON as a state can hold it: integers beyond 64 bits become the nearest floating point numbers."""
    try:
        _as_bytes(data)
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
