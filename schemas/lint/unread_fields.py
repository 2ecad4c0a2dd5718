"""Finds fields of updates that nothing reads. They are accepted, since others' updates carry more than we
keep, and warned of.

`{"arr": 5000}` in an `account.updated` was meant for `attributes`, and would be silently lost. Pure.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from schemas.account import AccountIn, AccountUpdate, ContactUpdate, OwnerIn
from schemas.event import Event
from schemas.lint.values import DoubtfulValue
from schemas.names import MAX_NAME

_ACCOUNT = frozenset(AccountUpdate.model_fields)
_CONTACT = frozenset(ContactUpdate.model_fields) | {"id"}
_OWNER = frozenset(OwnerIn.model_fields)


def unread(event: Event) -> Iterator[DoubtfulValue]:
    """The fields of an update that nothing reads, by their paths in `data`; fields that only GET shows
    do not count."""
    data = event.data
    if not isinstance(data, dict):
        return
    if event.type == "contact.updated":
        yield from _of(data, _CONTACT, "a contact", "")
    elif event.type == "account.updated":
        yield from _of(data, _ACCOUNT, "an account", "", AccountIn.read_only)
        if isinstance(data.get("owner"), dict):
            yield from _of(data["owner"], _OWNER, "an owner", "owner.")
        contacts = data.get("contacts")
        for index, one in enumerate(contacts if isinstance(contacts, list) else ()):
            if isinstance(one, dict):
                yield from _of(one, _CONTACT, "a contact", f"contacts.{index}.")


def _of(
    data: Mapping[str, Any], known: frozenset[str], what: str, at: str, shown: frozenset[str] = frozenset()
) -> Iterator[DoubtfulValue]:
    for name in data:
        if name not in known and name not in shown:
            near = get_close_matches(name[:MAX_NAME].lower(), known, 1)
            hint = f"; did you mean {near[0]}?" if near else _kept(known)
            yield DoubtfulValue(f"{at}{name[:MAX_NAME]}", f"is no field of {what}: nothing reads it{hint}")


def _kept(known: frozenset[str]) -> str:
    return "; what is more to be known stands in attributes" if "attributes" in known else ""
