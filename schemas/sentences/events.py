"""Which events count, in words: `ticket.opened events where data.severity is high`. Pure.

Used by the sentences that tell what a document says, which name every type and condition. `measures` is shorter.
"""

from typing import Protocol

from schemas.conditions.model import Condition
from schemas.sentences.conditions import MOST_NAMED, in_words
from schemas.sentences.wording import listed


class Selects(Protocol):
    """A part of a document that selects events."""

    event: str | list[str]
    where: Condition | None


def types_of(event: str | list[str], before: str, noun: str) -> str:
    """`an invoice.paid event`, `no login or page event`, `an event of any type`; `before` stands first."""
    types = [event] if isinstance(event, str) else event
    if types == ["*"]:
        return f"{before} {noun} of any type".strip()
    named = types[:MOST_NAMED] + (
        [f"{len(types) - MOST_NAMED} other types"] if len(types) > MOST_NAMED else []
    )
    return f"{before} {listed(named, 'or')} {noun}".strip()


def events(selects: Selects, *, one: bool = False) -> str:
    """The events: `ticket.opened events where data.severity is high`."""
    return types_of(selects.event, "", "event" if one else "events") + where(selects)


def an_event(selects: Selects) -> str:
    """One of them, with its article."""
    types = [selects.event] if isinstance(selects.event, str) else selects.event
    article = "an" if types == ["*"] or types[0][0].lower() in "aeiou" else "a"
    return types_of(selects.event, article, "event") + where(selects)


def where(selects: Selects) -> str:
    """What an event must satisfy."""
    return "" if selects.where is None else f" where {in_words(selects.where)}"
