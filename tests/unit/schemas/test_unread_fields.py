"""What an update carries and nothing reads is told of; what is read, or shown by GET, is not."""

from typing import Any

import pytest

from schemas.account import AccountIn, ContactIn
from schemas.event import Event
from schemas.lint.unread_fields import unread
from schemas.profile import Profile


def told(kind: str, data: Any) -> dict[str, str]:
    return {one.path: one.message for one in unread(Event(type=kind, account="a", contact="c", data=data))}


def test_what_is_written_beside_attributes() -> None:
    message = "is no field of an account: nothing reads it; what is more to be known stands in attributes"
    assert told("account.updated", {"arr": 5000, "attributes": {"plan": "pro"}}) == {"arr": message}
    near = "is no field of a contact: nothing reads it; did you mean email?"
    assert told("contact.updated", {"Email": "a@b.test"}) == {"Email": near}


def test_inside_contacts_and_the_owner() -> None:
    data = {"contacts": [{"id": "a"}, {"id": "b", "title": "CTO"}, "x"], "owner": {"mail": "jo@us.test"}}
    assert set(told("account.updated", data)) == {"contacts.1.title", "owner.mail"}


@pytest.mark.parametrize("kind", ["account.updated", "contact.updated", "account.deleted", "x"])
def test_nothing_to_tell(kind: str) -> None:
    assert told(kind, None) == told(kind, []) == told(kind, {}) == {}
    assert told("x", {"arr": 1}) == told("account.deleted", {"arr": 1}) == {}


def test_what_the_api_takes_or_shows_is_read() -> None:
    shown = dict.fromkeys((*AccountIn.model_fields, *AccountIn.read_only))
    assert told("account.updated", shown) == {}
    assert told("account.updated", {"contacts": [dict.fromkeys(ContactIn.model_fields)]}) == {}
    kept = {"name", "tier", "timezone", "attributes", "contacts", "owner", "domains"}
    assert kept <= {name for name in dir(Profile("a")) if not name.startswith("_")}
