"""Which events a rule counts, how much each is worth, and for which subject."""

from collections.abc import Callable
from typing import Any

from schemas.conditions.codegen import Scope, getter_of
from schemas.conditions.model import compile_condition
from schemas.event import is_reserved
from schemas.trigger_kinds.base import Selector
from services.rules.engine.windows.fixed_point import micro
from services.rules.engine.windows.series import token


def value_getter(path: str) -> Callable[[Scope], Any]:
    """A function that looks up a path in an event; a bare `contact` gives the contact's id."""
    return getter_of("contact.id" if path == "contact" else path)


def _true(scope: Scope) -> bool:  # noqa: ARG001
    return True


def _one(scope: Scope) -> int:  # noqa: ARG001
    return 0


class EventFilter:
    """A compiled `event`, `where` and `of`."""

    def __init__(self, selector: Selector, aggregate: str = "count", of: str | None = None) -> None:
        named = [selector.event] if isinstance(selector.event, str) else selector.event
        self.types: frozenset[str] | None = None if named == ["*"] else frozenset(named)
        self.document, self.of = selector, of
        self._where: Callable[[Scope], bool] | None = None
        self.amount = self._amount(aggregate, of)

    def listens(self, type_: str) -> bool:
        """Whether events of this type can match."""
        return not is_reserved(type_) if self.types is None else type_ in self.types

    def worth(self, scope: Scope) -> int | None:
        """How much the event adds (millionths, a token, or 0 if it is only counted); None if it does not match."""
        event = scope.event
        if event is None or not self.listens(event.type):
            return None
        if self.document.where is not None and not self.where(scope):
            return None
        return self.amount(scope)

    def where(self, scope: Scope) -> bool:
        """Whether the condition on the event holds. The first call compiles it; many rules never get that far."""
        if self._where is None:
            self._where = compile_condition(self.document.where) if self.document.where is not None else _true
        return self._where(scope)

    @staticmethod
    def _amount(aggregate: str, of: str | None) -> Callable[[Scope], int | None]:
        if of is None:
            return _one
        get, convert = value_getter(of), token if aggregate == "distinct" else micro
        return lambda scope: convert(get(scope))
