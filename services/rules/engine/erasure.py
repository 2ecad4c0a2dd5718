"""Erasure: forgets what an account's state holds of a person, and tells which of Touchline's own events are
about the erased and count for nobody."""

from math import inf
from typing import Any

from schemas.event import Event
from services.rules.engine.account_state import AccountState

DEPARTED_KEPT = 1_000  # erasures of contacts that an account remembers the places of


def of_the_erased(state: AccountState | None, event: Event) -> bool:
    """Whether an event of Touchline's own is about an account that is not there, or a contact that went.

    Plays and mails of theirs may have been under way; they began at a place before the one at which the account was
    made anew. Which contacts went is not kept: at an account that lost one, whoever is none now counts as such.
    """
    if state is None or begun_at(event) < state.born:
        return True
    return state.erased and event.contact is not None and event.contact not in state.profile.contacts


def forgotten_in(event: Event) -> list[str]:
    """The triggers that leave with their plays, as a record of actions names them."""
    named = event.data.get("triggers") if isinstance(event.data, dict) else None
    return [one for one in named if isinstance(one, str)] if isinstance(named, list) else []


def begun_at(event: Event) -> int | float:
    """The offset at which the play was triggered that an event of Touchline's own is about; endless: it is unknown."""
    place = event.data.get("place") if isinstance(event.data, dict) else None
    return place if type(place) is int else inf


def depart(state: AccountState, offset: int) -> None:
    """A contact is erased here: what came of them before is shown no more, though the log may still have it."""
    state.departed.append(offset)
    while len(state.departed) > DEPARTED_KEPT:
        state.veil = max(state.veil, state.departed.pop(0) + 1)


def forget_contact(state: AccountState, contact: str | None, by_person: frozenset[int] = frozenset()) -> None:
    """Drop all state that is kept per this contact, and what armed events of theirs carried.

    `by_person`: the slots of rules that count by the event's contact, whose keys are the ids of contacts.
    """
    if contact is None:
        return
    state.erased = True
    mappings: tuple[dict[Any, Any], ...] = (
        state.stores,
        state.last,
        state.fired,
        *state.kept.values(),
    )
    for mapping in mappings:
        for key in [key for key in mapping if isinstance(key, tuple) and _theirs(key, contact, by_person)]:
            del mapping[key]
    for kept in state.kept.values():
        for one in kept.values():
            one.forget(contact)


def _theirs(key: tuple[int, str | None, str | None], contact: str, by_person: frozenset[int]) -> bool:
    return key[1] == contact or (key[2] == contact and key[0] in by_person)
