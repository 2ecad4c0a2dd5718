"""What is known of Segment's users: their group calls, who the anonymous ones are, their traits, the calls sent before.

Everything is kept twice, vouched for or not. What came with a `track` key alone, which may stand in a web
page, is seen only by calls with such keys, and gives way to what others said.
"""

from bisect import bisect_right, insort
from collections.abc import Mapping
from typing import Any

import msgspec

GROUPS_KEPT = 32  # group calls of one user
TIES_KEPT = 32  # changes of who an anonymous user is
TRAITS_BYTES = 32_768  # of what is known of one user, as JSON

Entry = tuple[int, str]  # a time, and the group or user that holds from then on
Known = tuple[str, bool]  # a user, and whether what is kept of it is unvouched
Row = tuple[str, bool, int]  # of a history: a user, whether unvouched, an entry's time
_encode = msgspec.json.Encoder().encode


class Membership(msgspec.Struct, frozen=True):
    """Where a call went when it was first sent: account, contact, time (microseconds), and what followed
    from the call."""

    account: str
    contact: str | None
    time: int
    follows: int = 0


class IdentityBook(msgspec.Struct):
    """What is known of the users that a request names. Histories are in the order of time; `new_…` and
    `gone_…` are to be stored, the rest was loaded."""

    groups: dict[Known, list[Entry]] = {}
    ties: dict[Known, list[Entry]] = {}  # by anonymous user
    traits: dict[Known, dict[str, Any]] = {}
    lone: set[Known] = set()  # users with calls that belong to no group, and so with an account of their own
    calls: dict[bytes, Membership] = {}  # by name
    untold: set[Known] = set()  # anonymous users whose merge may not be on the log yet
    new_groups: dict[Row, str] = {}
    gone_groups: set[Row] = set()
    new_ties: dict[Row, str] = {}
    gone_ties: set[Row] = set()
    new_users: set[Known] = set()  # users whose traits changed, or who became lone
    new_calls: dict[bytes, str] = {}  # name to the user as sent

    def group(self, user: str, time: int, unvouched: bool) -> str | None:
        """The group of the user's last group call at or before this time."""
        return _last(self.groups, user, time, unvouched)

    def person(self, anonymous: str, time: int, unvouched: bool) -> str | None:
        """The known user that an anonymous one is at this time."""
        return _last(self.ties, anonymous, time, unvouched)

    def first_tie(self, anonymous: str, unvouched: bool) -> Entry | None:
        """The first tie of an anonymous user: since when, and as whom, the user is known."""
        return next((ties[0] for ties in _levels(self.ties, anonymous, unvouched)), None)

    def next_group(self, user: str, time: int, unvouched: bool) -> str | None:
        """The group of the user's first group call after this time."""
        for calls in _levels(self.groups, user, unvouched):
            at = bisect_right(calls, time, key=_time)
            if at < len(calls):
                return calls[at][1]
        return None

    def is_lone(self, user: str, unvouched: bool) -> bool:
        """Whether the user may have an account of their own, as far as a merge with such a key is concerned."""
        levels = {(user, True)} if unvouched else {(user, False), (user, True)}
        return not self.lone.isdisjoint(levels)

    def add_lone(self, key: Known) -> None:
        """Note that there was a call of a user who belongs to no group."""
        if key not in self.lone:
            self.lone.add(key)
            self.new_users.add(key)

    def add_group(self, key: Known, time: int, group: str) -> None:
        """Note a group call; of two at one time the one received last counts."""
        calls = _with(self.groups.get(key, []), time, group)
        self.new_groups[*key, time] = group
        self.groups[key] = _trimmed(calls)
        _note_gone(key, calls, self.groups[key], self.new_groups, self.gone_groups)

    def add_tie(self, key: Known, time: int, user: str) -> None:
        """Note that from this time on the anonymous user is this one."""
        ties = _with(self.ties.get(key, []), time, user)
        self.new_ties[*key, time] = user
        self.ties[key] = ties[-TIES_KEPT:]
        _note_gone(key, ties, self.ties[key], self.new_ties, self.gone_ties)

    def add_traits(self, key: Known, traits: Mapping[str, Any]) -> None:
        """Merge what was said of a user into what is known."""
        self.traits[key] = _bounded(_merged(self.traits.get(key, {}), traits))
        self.new_users.add(key)

    def add_call(self, name: bytes, user: str, place: Membership) -> None:
        """Remember where a call went."""
        self.calls[name] = place
        self.new_calls[name] = user


def _levels(kept: Mapping[Known, list[Entry]], user: str, unvouched: bool) -> list[list[Entry]]:
    """The histories of a user that a call may see, vouched ones first."""
    found = (kept.get((user, level)) for level in ((False, True) if unvouched else (False,)))
    return [entries for entries in found if entries]


def _last(kept: Mapping[Known, list[Entry]], user: str, time: int, unvouched: bool) -> str | None:
    for entries in _levels(kept, user, unvouched):
        at = bisect_right(entries, time, key=_time)
        if at:
            return entries[at - 1][1]
    return None


def _time(entry: Entry) -> int:
    return entry[0]


def _with(entries: list[Entry], time: int, value: str) -> list[Entry]:
    others = [entry for entry in entries if entry[0] != time]
    insort(others, (time, value), key=_time)
    return others


def _trimmed(calls: list[Entry]) -> list[Entry]:
    """At most `GROUPS_KEPT` entries: those between two of the same group are dropped first, then the oldest."""
    if len(calls) <= GROUPS_KEPT:
        return calls
    kept = [calls[0]]
    for before, call, after in zip(calls, calls[1:], calls[2:], strict=False):
        if not before[1] == call[1] == after[1]:
            kept.append(call)
    return [*kept, calls[-1]][-GROUPS_KEPT:]


def _note_gone(
    key: Known, before: list[Entry], kept: list[Entry], new: dict[Row, str], gone: set[Row]
) -> None:
    if len(kept) == len(before):
        return
    times = {time for time, _ in kept}
    for time, _ in before:
        if time not in times:
            new.pop((*key, time), None)
            gone.add((*key, time))


def _merged(known: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Merges as profiles do: per field and attribute, null deletes."""
    out = {name: value for name, value in {**known, **said}.items() if value is not None}
    if isinstance(said.get("attributes"), dict):
        before = known.get("attributes") or {}
        both = {**before, **said["attributes"]}
        out["attributes"] = {name: value for name, value in both.items() if value is not None}
    return out


def _bounded(traits: dict[str, Any]) -> dict[str, Any]:
    """Drops the oldest attributes where there are too many bytes."""
    size = len(_encode(traits))
    if size <= TRAITS_BYTES:
        return traits
    attributes = dict(traits.get("attributes") or {})
    for name in list(attributes):
        if size <= TRAITS_BYTES:
            break
        size -= len(_encode({name: attributes.pop(name)}))
    return {**traits, "attributes": attributes}
