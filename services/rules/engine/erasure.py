"""Erasure: forgets what an account's state holds of a person, and recognises Touchline's own events about the erased.

Those events count for nobody.
"""

from math import inf
from typing import Any

from schemas.event import Event
from services.rules.engine.account_state import AccountState

DEPARTED_KEPT = 1_000  # number of erased contacts whose offsets an account remembers


def of_the_erased(state: AccountState | None, event: Event) -> bool:
    """Whether one of Touchline's own events is about an account that is gone, or about an erased contact.

    Their plays and mails may still have been under way. Those began at an offset before the one at which the
    account was recreated. The names of erased contacts are not kept, so at an account that lost one, anybody who is
    not a contact now counts as erased.
    """
    if state is None or begun_at(event) < state.born:
        return True
    return state.erased and event.contact is not None and event.contact not in state.profile.contacts


def forgotten_in(event: Event) -> list[str]:
    """The triggers that are removed with their plays, as a record from actions names them."""
    named = event.data.get("triggers") if isinstance(event.data, dict) else None
    return [one for one in named if isinstance(one, str)] if isinstance(named, list) else []


def begun_at(event: Event) -> int | float:
    """The offset of the trigger whose play one of Touchline's own events is about; infinite if unknown."""
    place = event.data.get("place") if isinstance(event.data, dict) else None
    return place if type(place) is int else inf


def depart(state: AccountState, offset: int) -> None:
    """Note that a contact is erased at this offset.

    Their earlier events are no longer shown, though the log may still hold them.
    """
    state.departed.append(offset)
    while len(state.departed) > DEPARTED_KEPT:
        state.veil = max(state.veil, state.departed.pop(0) + 1)


def forget_contact(state: AccountState, contact: str | None, by_person: frozenset[int] = frozenset()) -> None:
    """Drop all state kept for this contact, and what their events left in states that they armed.

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
