"""The subject an event counts for by a rule's `scope` and `by`: the account, a contact, or a value of the event."""

from typing import Literal

from schemas.conditions.codegen import Scope
from schemas.conditions.keys import key_text
from services.rules.engine.account_state import Subject
from services.rules.engine.event_filter import value_getter

ALL: Subject = (None, None)


class Subjects:
    """What trigger kinds need to know of their rule."""

    def __init__(self, scope: Literal["account", "contact"] = "account", by: str | None = None) -> None:
        self.scope, self.by = scope, by
        self.per_contact = scope == "contact"
        self._value = value_getter(by) if by is not None else None

    def without_key(self) -> "Subjects":
        """The same account or contact without the value, as `unless` counts."""
        return self if self.by is None else Subjects(self.scope)

    def of(self, scope: Scope) -> Subject | None:
        """The subject that the event counts for; None: it does not count (no contact, or no key)."""
        if not self.per_contact and self._value is None:
            return ALL
        event = scope.event
        contact = event.contact if self.per_contact and event is not None else None
        if self.per_contact and contact is None:
            return None
        key = None
        if self._value is not None and (key := self.key(scope)) is None:
            return None
        return (contact, key)

    def key(self, scope: Scope) -> str | None:
        """The event's value that the rule counts by; None if it has none."""
        return key_text(self._value(scope)) if self._value is not None else None

    def since(self, scope: Scope) -> list[Subject]:
        """The subjects that a `since` event counts for; if it has no contact, every contact known at that time."""
        if not self.per_contact or (scope.event is not None and scope.event.contact is not None):
            subject = self.of(scope)
            return [] if subject is None else [subject]
        key = None
        if self._value is not None and (key := self.key(scope)) is None:
            return []
        return [(contact, key) for contact in scope.profile.contacts] if scope.profile is not None else []
