"""becomes: an update turns a condition over the account or contact from false (or unknown) to true."""

from collections.abc import Iterable

from schemas.conditions.codegen import Scope
from schemas.conditions.model import compile_condition
from schemas.profile import contact_of
from schemas.reasons import Reason
from schemas.trigger_kinds import becomes as doc
from schemas.trigger_kinds.base import Selector
from services.rules.engine.account_state import AccountState, Subject
from services.rules.engine.compiled_rule import BaseKind, CompiledRule, Verdict
from services.rules.engine.context import Context, Match
from services.rules.engine.event_filter import EventFilter

UPDATES = ("account.updated", "contact.updated")
NOBODY: frozenset[str | None] = frozenset()


class Becomes(BaseKind):
    """A compiled becomes; it remembers nothing: the update itself shows before and after."""

    name = "becomes"
    ticks = False
    moments = False

    def __init__(self, body: doc.Becomes, slot: int) -> None:
        self.slot, self.body = slot, body
        self._holds = compile_condition(body.is_)
        self._updates = EventFilter(Selector(event=list(UPDATES)))

    def selectors(self) -> Iterable[EventFilter]:
        """Updates."""
        return [self._updates]

    def holding(self, rule: CompiledRule, ctx: Context) -> frozenset[str | None]:
        """The contacts (None: nobody named, in account scope) for which the condition is true as things stand.

        Called before an update is merged, and after it.
        """
        state = ctx.state
        return frozenset(contact for contact in self._asked(rule, ctx) if self._is(state, contact))

    def _asked(self, rule: CompiledRule, ctx: Context) -> list[str | None]:
        event = ctx.event
        named = contact_of(event) if event is not None else None
        if not rule.per_contact:
            return [named]
        known: list[str | None] = list(ctx.state.profile.contacts)
        if event is not None and event.type == "contact.updated":
            return [contact for contact in known if contact == named]
        return known

    def _is(self, state: AccountState, contact: str | None) -> bool:
        return self._holds(Scope(None, state.profile, state.contact(contact), state.tier))

    def arrive(self, rule: CompiledRule, ctx: Context) -> list[Match]:
        """The contacts (or the account) for which the update made it true."""
        if ctx.silent or ctx.event is None or ctx.event.type not in UPDATES:
            return []
        before = ctx.before.get(self.slot, NOBODY)
        turned = [c for c in self._asked(rule, ctx) if c not in before and self._is(ctx.state, c)]
        key: str | None = None
        if rule.doc.by is not None:
            subject = rule.key(ctx.scope)
            if subject is None:
                return []
            key = subject
        named = [(contact if rule.per_contact else None, key) for contact in turned]
        return [Match(ctx.time, ctx.offset, subject) for subject in named]

    def verdict(self, rule: CompiledRule, ctx: Context, subject: Subject) -> Verdict:
        """It fires only at an update; now it can be said whether the condition is true."""
        true = self._is(ctx.state, subject[0])
        return Verdict(False, Reason.ALREADY_TRUE if true else Reason.CONDITION_FALSE)
