"""becomes: an update turns a condition over the account or contact from false (or unknown) to true."""

from collections.abc import Iterable

from schemas.conditions.codegen import Scope
from schemas.conditions.model import compile_condition
from schemas.profile import contact_of
from schemas.reasons import Reason
from schemas.trigger_kinds import becomes as doc
from schemas.trigger_kinds.base import Selector
from services.rules.engine.account_state import AccountState, Subject
from services.rules.engine.event_filter import EventFilter
from services.rules.engine.kinds.base import NOTHING, Arrived, Match, Share, Situation, TriggerKind, Verdict
from services.rules.engine.subjects import Subjects

UPDATES = ("account.updated", "contact.updated")
NOBODY: frozenset[str | None] = frozenset()


class Becomes(TriggerKind):
    """A compiled becomes. It keeps no state: the update itself shows before and after."""

    name = "becomes"
    words = doc.Becomes
    reasons = frozenset({
        Reason.BECAME_TRUE, Reason.ALREADY_TRUE, Reason.CONDITION_FALSE,
    })  # fmt: skip
    state = None
    restarts_on = ()
    restarts_if_longer = ()
    keeps = ("is_",)
    compares = True
    reason = Reason.BECAME_TRUE
    ticks = False
    moments = False

    def __init__(self, body: doc.Becomes, slot: int, subjects: Subjects) -> None:
        self.slot, self.subjects = slot, subjects
        self._holds = compile_condition(body.is_)
        self._updates = EventFilter(Selector(event=list(UPDATES)))

    def selectors(self) -> Iterable[EventFilter]:
        """The filter of updates."""
        return [self._updates]

    def before(self, ctx: Situation) -> frozenset[str | None]:
        """The contacts for which the condition is already true; None stands for nobody named, in account scope."""
        state = ctx.state
        return frozenset(contact for contact in self._asked(ctx) if self._is(state, contact))

    def _asked(self, ctx: Situation) -> list[str | None]:
        event = ctx.event
        named = contact_of(event) if event is not None else None
        if not self.subjects.per_contact:
            return [named]
        known: list[str | None] = list(ctx.state.profile.contacts)
        if event is not None and event.type == "contact.updated":
            return [contact for contact in known if contact == named]
        return known

    def _is(self, state: AccountState, contact: str | None) -> bool:
        return self._holds(Scope(None, state.profile, state.contact(contact), state.tier))

    def arrive(self, ctx: Situation, before: frozenset[str | None] | None) -> Arrived:
        """The matches of the contacts (or the account) for which the update made the condition true."""
        if ctx.silent or ctx.event is None or ctx.event.type not in UPDATES:
            return NOTHING
        held = before or NOBODY
        turned = [c for c in self._asked(ctx) if c not in held and self._is(ctx.state, c)]
        key: str | None = None
        if self.subjects.by is not None and (key := self.subjects.key(ctx.scope)) is None:
            return NOTHING
        named = [(contact if self.subjects.per_contact else None, key) for contact in turned]
        return Arrived([Match(ctx.time, ctx.offset, subject) for subject in named])

    def verdict(self, ctx: Situation, subject: Subject) -> Verdict:
        """Whether the condition is true now; the rule itself fires only at an update."""
        true = self._is(ctx.state, subject[0])
        return Verdict(False, Reason.ALREADY_TRUE if true else Reason.CONDITION_FALSE)

    def share(self, state: AccountState, subject: Subject, now: int) -> Share | None:
        """It holds for as long as the condition does."""
        true = self._is(state, subject[0])
        return Share(true, float(true))
