"""contact.deleted: what an account's state holds of one person goes."""

from typing import Any

from services.rules.engine.state import AccountState


def forget_contact(state: AccountState, contact: str | None) -> None:
    """Drop all state that is kept per this contact, and what armed events of theirs carried."""
    if contact is None:
        return
    mappings: tuple[dict[Any, Any], ...] = (
        state.stores,
        state.bases,
        state.last,
        state.fired,
        state.watches,
        state.dates,
        state.held,
    )
    for mapping in mappings:
        for key in [key for key in mapping if isinstance(key, tuple) and key[1] == contact]:
            del mapping[key]
    for watch in state.watches.values():
        for arm in watch.arms:
            if arm.event is not None and arm.event.contact == contact:
                arm.event.contact, arm.event.data = None, None
