"""Building a rule's state from the log, in time order, before it takes effect. Nothing fires for what is past."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from schemas.event import CONTROL, LATE_US, RESERVED, Event, microseconds
from schemas.profile import Contact, Profile, contact_of
from services.rules.engine.context import Context
from services.rules.engine.live import LiveRule
from services.rules.engine.selector import Selector
from services.rules.engine.state import AccountState, merge

if TYPE_CHECKING:
    from services.rules.engine.partition import Accounts

History = Iterable[tuple[int, Event]]  # offset, event; from the start of the log
Wanted = list[tuple[LiveRule, list[Selector]]]


class _Past:
    """One account's part of the log: what the rules must see, with the profile as it was at that place."""

    def __init__(self, account: str) -> None:
        self.profile = Profile(id=account)
        self.shown: Profile | None = None  # what the profile is now, for all events up to the next update
        self.newest = 0
        self.names: dict[
            tuple[str, str], tuple[int, int]
        ] = {}  # (source, id) to its time, the newest time then
        self.found: list[tuple[int, int, Event, Profile, list[LiveRule]]] = []

    def repeats(self, event: Event, time: int) -> bool:
        """Whether the event was sent before, by the rule that holds for events as they come."""
        known = self.names.get((event.source, event.id))
        if known is not None and (time == known[0] or self.newest <= known[1] + LATE_US):
            return True
        self.newest = max(self.newest, time)
        self.names[event.source, event.id] = (time, self.newest)
        return False


def backfill(rules: list[LiveRule], accounts: "Accounts", history: History, clock: int) -> set[str]:
    """Feed the log to fresh rules; returns the accounts that got state. Times in microseconds."""
    wanted: Wanted = [(rule, list(rule.selectors())) for rule in rules]
    by_type: dict[str, list[LiveRule]] = {}
    pasts: dict[str, _Past] = {}
    for offset, event in history:
        if event.account is not None and event.time is not None and event.type not in CONTROL:
            if event.type not in by_type:
                by_type[event.type] = [
                    r for r, selectors in wanted if any(s.listens(event.type) for s in selectors)
                ]
            _read(pasts, by_type[event.type], offset, event.account, event)
    touched = set()
    for account, past in pasts.items():
        state = accounts.get(account)
        if state is not None and past.found:
            _build(state, past, clock)
            touched.add(account)
    return touched


def _read(
    pasts: dict[str, _Past], listening: list[LiveRule], offset: int, account: str, event: Event
) -> None:
    if event.type == "account.deleted":
        pasts.pop(account, None)
        return
    past = pasts.setdefault(account, _Past(account))
    time = microseconds(event.time) if event.time is not None else 0
    if past.repeats(event, time):
        return
    if event.type == "contact.deleted":
        gone = contact_of(event)
        past.found = [entry for entry in past.found if entry[2].contact != gone]
    if event.type in RESERVED:
        merge(past.profile, event)
        past.shown = None
    if listening:
        past.shown = past.shown or _copy(past.profile)
        past.found.append((time, offset, event, past.shown, listening))


def _copy(profile: Profile) -> Profile:
    """A profile as it is now. Merging replaces attributes and roles, so that only the contacts need copies."""
    return Profile(
        profile.id,
        profile.name,
        profile.tier,
        profile.owner,
        profile.timezone,
        profile.attributes,
        {key: _copied(contact) for key, contact in profile.contacts.items()},
    )


def _copied(c: Contact) -> Contact:
    return Contact(c.id, c.email, c.name, c.roles, c.active, c.timezone, c.locale, c.attributes)


def _build(state: AccountState, past: _Past, clock: int) -> None:
    """The account's events into the fresh rules, by time; as historical ones do, they count and fire nothing."""
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
                rule.unless.arrive(rule, ctx)
            for member in rule.members:
                member.arrive(rule, ctx)
    state.profile = kept
