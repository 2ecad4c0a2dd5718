"""Builds a rule's state from the log, in time order, before the rule takes effect. Nothing fires for the past.

All of an account's events have to be read before the first one counts, because late ones belong in between.
Accounts that do not fit into memory wait for another reading of the log. Each reading holds the accounts of one
range of hashes, as many as fit.
"""

from collections.abc import Callable, Iterable
from zlib import crc32

from msgspec.structs import replace as copy

from schemas.event import CONTROL, LATE_US, OWN_PREFIX, RESERVED, Event, microseconds
from schemas.forwarding import ABSORBED, ERASED, erased_of, fingerprint
from schemas.merging import Merge, merge_of
from schemas.profile import Profile, contact_of
from services.rules.engine.account_state import AccountState, merge
from services.rules.engine.compiled_rule import CompiledRule
from services.rules.engine.context import Context
from services.rules.engine.dedup import OWN
from services.rules.engine.erasure import begun_at
from services.rules.engine.id_codec import EventKey
from services.rules.engine.ports import AccountStates

ROOM = 512 << 20  # bytes of events and ids that one reading may hold, roughly
ID_BYTES = 300  # memory that one id takes, roughly
EVENT_BYTES = 1_000  # memory that one event takes, besides its data
EXPANSION = 8  # how many times its size as JSON the data takes in memory
CONTACT_BYTES = 200
AHEAD = 1_000  # accounts fetched at a time
DIGESTS = 1 << 32

History = Iterable[tuple[int, int, Event]]  # offset, bytes as JSON, event; from the start of the log
Ask = Callable[..., object]  # a rule and the method to call on it: see `Timers._asked`


class _Past:
    """One account's part of the log: the events that the rules must see, each with the profile at that point."""

    def __init__(self, account: str) -> None:
        self.profile = Profile(id=account)
        self.shown: Profile | None = None  # the current profile, shared by all events up to the next update
        self.newest = 0
        self.merge: Merge | None = None  # the last merge that was asked for, carried out or not
        self.source = ""  # events of this source are known by their bare id
        self.names: dict[EventKey, tuple[int, int]] = {}  # to its time, and the newest time then
        self.foreign: dict[EventKey, int] = {}  # fingerprints of forwarded events that have a bare id
        self.found: list[tuple[int, int, Event, Profile, list[CompiledRule]]] = []
        self.born = -1  # the offset at which the account was recreated, if it had been erased before
        self.gone: set[str | None] = set()  # contacts that were erased and have not come back
        self.bytes = EVENT_BYTES

    def of_the_erased(self, event: Event) -> bool:
        """Whether this is one of Touchline's own events about something that was erased.

        An event from outside recreates the account.
        """
        if not event.type.startswith(OWN_PREFIX):
            self.gone.discard(event.contact)
            return False
        return event.contact in self.gone or begun_at(event) < self.born

    def repeats(self, event: Event, time: int) -> bool:
        """Whether the event was sent before, by the same rule as for live events (see `dedup.recognise`)."""
        self.source = self.source or event.source
        name: EventKey = event.id if event.source == self.source else (event.source, event.id)
        if event.mergedfrom is None and name not in self.foreign:
            return self._knows(name, time) or self._note(name, time)
        said = fingerprint(event)
        other = (event.source, event.id, OWN if event.mergedfrom is None else said)
        if self._knows(other, time):
            return True
        if self._knows(name, time):
            same = (self.foreign.get(name) or self._said(event)) == said
            if event.mergedfrom is None or not same:
                self._note(other, time)
            return same
        self.foreign.pop(name, None)
        if event.mergedfrom is not None:
            self.foreign[name] = said
        return self._note(name, time)

    def _knows(self, name: EventKey, time: int) -> bool:
        known = self.names.get(name)
        return known is not None and (time == known[0] or self.newest <= known[1] + LATE_US)

    def _note(self, name: EventKey, time: int) -> bool:
        self.newest = max(self.newest, time)
        self.names[name] = (time, self.newest)
        self.bytes += ID_BYTES
        return False

    def _said(self, event: Event) -> int | None:
        """The fingerprint of the account's own event of this name; one that no rule wants does not matter."""
        same = (one for _, _, one, _, _ in self.found if (one.source, one.id) == (event.source, event.id))
        return next((fingerprint(one) for one in same if one.mergedfrom is None), None)

    def keep(self, time: int, offset: int, size: int, event: Event, listening: list[CompiledRule]) -> None:
        """Keep an event that the rules must see."""
        if self.shown is None:
            self.shown = _copy(self.profile)
            self.bytes += CONTACT_BYTES * len(self.profile.contacts)
        self.found.append((time, offset, event, self.shown, listening))
        self.bytes += EVENT_BYTES + EXPANSION * size


class _Reading:
    """One reading of the log: the accounts whose hashes are in [low, high)."""

    def __init__(self, low: int) -> None:
        self.low, self.high = low, DIGESTS
        self.pasts: dict[str, _Past] = {}
        self.gone: set[str] = set()  # accounts that were erased and have not come back
        self.bytes = 0

    def past(self, account: str, offset: int, event: Event) -> _Past | None:
        """The account's part of the log.

        None if it belongs to another reading, or if one of Touchline's own events is about an erased account.
        """
        found = self.pasts.get(account)
        if found is None and event.type.startswith(OWN_PREFIX) and account in self.gone:
            return None
        if found is None and self.low <= _digest(account) < self.high:
            found = self.pasts[account] = _Past(account)
            found.born = offset if account in self.gone else -1
        self.gone.discard(account)
        return found

    def weigh(self, more: int) -> None:
        """Count the bytes that were read.

        If they are too many, the upper half of the accounts waits for the next reading.
        """
        self.bytes += more
        if self.bytes <= ROOM:
            return
        digests = sorted({_digest(account) for account in self.pasts})
        if len(digests) > 1:
            self.high = digests[len(digests) // 2]
            self.pasts = {name: past for name, past in self.pasts.items() if _digest(name) < self.high}
            self.bytes = sum(past.bytes for past in self.pasts.values())


def _digest(account: str) -> int:
    return crc32(account.encode("utf-8", "surrogatepass"))


def backfill(
    rules: list[CompiledRule], accounts: AccountStates, history: Callable[[], History], clock: int, ask: Ask
) -> set[str]:
    """Feed the log to new rules; returns the accounts that got state. Times are in microseconds."""
    touched: set[str] = set()
    low = 0
    while low < DIGESTS:
        reading = _read(_Reading(low), rules, history())
        names = [name for name, past in reading.pasts.items() if past.found]
        for start in range(0, len(names), AHEAD):
            accounts.prefetch(names[start : start + AHEAD])
            for name in names[start : start + AHEAD]:
                past, state = reading.pasts.pop(name), accounts.get(name)
                if state is not None:
                    _build(state, past, clock, ask)
                    touched.add(name)
        low = reading.high
    return touched


def _read(reading: _Reading, rules: list[CompiledRule], history: History) -> _Reading:
    wanted = [(rule, list(rule.selectors())) for rule in rules]
    by_type: dict[str, list[CompiledRule]] = {}
    for offset, size, event in history:
        if event.account is None or event.time is None or event.type in CONTROL:
            continue
        if event.type == "account.deleted" or _gone_there(reading.pasts.get(event.account), event):
            gone = reading.pasts.pop(event.account, None)
            reading.gone.add(event.account)
            reading.weigh(-gone.bytes if gone is not None else 0)
            continue
        listening = by_type.get(event.type)
        if listening is None:
            listening = [r for r, selectors in wanted if any(s.listens(event.type) for s in selectors)]
            by_type[event.type] = listening
        past = reading.past(event.account, offset, event)
        if past is not None:
            before = past.bytes
            _take(past, offset, size, event, listening)
            reading.weigh(past.bytes - before)
    return reading


def _take(past: _Past, offset: int, size: int, event: Event, listening: list[CompiledRule]) -> None:
    time = microseconds(event.time) if event.time is not None else 0
    if past.of_the_erased(event) or past.repeats(event, time):
        return
    if event.type == "contact.deleted":
        gone = contact_of(event)
        past.gone.add(gone)
        past.found = [entry for entry in past.found if entry[2].contact != gone]
    if event.type in RESERVED or event.type == ABSORBED:
        merge(past.profile, event)
        past.shown = None
        past.merge = merge_of(event) or past.merge
    if listening:
        past.keep(time, offset, size, event, listening)


def _gone_there(past: _Past | None, event: Event) -> bool:
    """Whether the account was erased because the account it was merged into was erased, or the person it stood for."""
    what = erased_of(event) if event.type == ERASED else None
    said = past.merge if past is not None else None
    if what is None or said is None or said.into != what.into:
        return False
    return what.contact is None or (said.lone and what.contact == (said.contact or said.account))


def _copy(profile: Profile) -> Profile:
    """A copy of the profile as it is now. Updates replace attributes and roles, so only the contacts need copying."""
    return copy(profile, contacts={key: copy(contact) for key, contact in profile.contacts.items()})


def _build(state: AccountState, past: _Past, clock: int, ask: Ask) -> None:
    """Feed the account's events to the new rules in time order. Like historical events, they count and fire nothing.

    A closed account's events do not count here. Those that were forwarded count at the account it was merged into.
    """
    if state.profile.closed is not None:
        return
    past.found = [
        one for one in past.found if one[2].mergedfrom is None or one[2].mergedfrom in state.profile.absorbed
    ]
    ctx, kept = Context(), state.profile
    ctx.state, ctx.silent, ctx.past, ctx.now = state, True, True, clock
    for time, offset, event, profile, rules in sorted(past.found, key=lambda entry: entry[:2]):
        ctx.event, ctx.time, ctx.offset, ctx.position = event, time, offset, offset
        state.profile, scope = profile, ctx.scope
        scope.event, scope.profile, scope.contact = event, profile, state.contact(event.contact)
        scope.tier = state.tier
        if time >= state.newest - LATE_US:
            state.muted[offset] = time
        for rule in rules:
            if rule.unless is not None:
                ask(rule, rule.unless.arrive, ctx)
            for member in rule.members:
                ask(rule, member.arrive, ctx, None)
    state.profile = kept
