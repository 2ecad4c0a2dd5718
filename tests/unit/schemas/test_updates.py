"""Addresses and timezones of updates: trimmed, and what is none left out, wherever an update comes from."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.event import Event
from schemas.profile import Profile, apply_update
from schemas.updates import right

BAD_EMAILS = [
    "jo.us.test",
    "jo@",
    "@us.test",
    "Jo <jo@us.test>",
    "jo@us..test",
    "jo@us.test,ann@us.test",
    "",
    " ",
]
BAD_ZONES = ["Mars/Olympus", "Eastern Time (US & Canada)", "Europe", "/etc/passwd", "../x", "", " ", "a\0b"]
TEXTS = st.sampled_from(
    ["ann@acme.test", " ann@acme.test\n", "Europe/Berlin", " UTC ", *BAD_EMAILS, *BAD_ZONES]
)
VALUES = TEXTS | st.none() | st.integers() | st.lists(st.text(), max_size=1)
PEOPLE = st.dictionaries(st.sampled_from(["email", "timezone", "name", "id"]), VALUES) | VALUES
ACCOUNTS = st.fixed_dictionaries(
    {}, optional={"timezone": VALUES, "owner": PEOPLE, "contacts": st.lists(PEOPLE) | VALUES, "name": VALUES}
)


@pytest.mark.parametrize(
    "address", ["ann@acme.test", "ann@localhost", "a.b+c@mail.acme.test", "müller@größe.test"]
)
def test_addresses_are_trimmed(address: str) -> None:
    for sent in (address, f" {address}", f"{address}\t\n"):
        assert right("contact.updated", {"email": sent}) == ({"email": address}, [])


@pytest.mark.parametrize("address", BAD_EMAILS)
def test_what_is_no_address_is_left_out(address: str) -> None:
    data, [wrong] = right("contact.updated", {"email": address, "name": "Jo"})
    assert (data, wrong.path, wrong.kind) == ({"name": "Jo"}, "email", "email")
    assert wrong.message.startswith("should be an email address such as ann@acme.test, or null: ")


@pytest.mark.parametrize("zone", BAD_ZONES)
def test_what_is_no_timezone_is_left_out(zone: str) -> None:
    data, [wrong] = right("account.updated", {"timezone": zone, "name": "Acme"})
    assert (data, wrong.path) == ({"name": "Acme"}, "timezone")
    assert "IANA name such as Europe/Berlin" in wrong.message


def test_each_is_named_by_its_place() -> None:
    sent = {
        "timezone": " Europe/Berlin",
        "owner": {"name": "Jo", "email": "jo.us.test"},
        "contacts": [{"id": "a", "email": "a@b.test "}, {"id": "b", "email": "b", "timezone": "x"}, 5],
    }
    before = copy.deepcopy(sent)
    data, wrong = right("account.updated", sent)
    assert data == {
        "timezone": "Europe/Berlin",
        "owner": {"name": "Jo"},
        "contacts": [{"id": "a", "email": "a@b.test"}, {"id": "b"}, 5],
    }
    assert [(one.path, one.kind) for one in wrong] == [
        ("owner.email", "owner.email"),
        ("contacts.1.email", "email"),
        ("contacts.1.timezone", "timezone"),
    ]
    assert sent == before


@given(st.sampled_from(["account.updated", "contact.updated"]), ACCOUNTS)
def test_what_was_put_right_is_right(type_: str, sent: dict[str, Any]) -> None:
    data, wrong = right(type_, sent)
    again, nothing = right(type_, data)
    assert nothing == []
    assert again is data
    assert (data is sent) == (data == sent)
    assert len({one.path for one in wrong}) == len(wrong)


@pytest.mark.parametrize("owner", [{"email": "jo.us.test"}, {"email": "jo.us.test", "name": None}])
def test_what_is_invalid_as_a_whole_deletes_nothing(owner: dict[str, Any]) -> None:
    profile = Profile("acme")
    known = {"owner": {"name": "Jo", "email": "jo@us.test"}, "domains": ["acme.test"]}
    apply_update(profile, Event(type="account.updated", account="acme", data=known))
    wrong = {"name": "Acme", "owner": owner, "domains": ["gmail.com", "a b"]}
    apply_update(profile, Event(type="account.updated", account="acme", data=wrong))
    assert profile.owner is not None
    assert (profile.name, profile.owner.email, profile.domains) == ("Acme", "jo@us.test", ["acme.test"])
    none: dict[str, Any] = {"owner": None, "domains": []}
    apply_update(profile, Event(type="account.updated", account="acme", data=none))
    assert (profile.owner, list(profile.domains or [])) == (None, [])


def test_a_profile_takes_the_rest() -> None:
    """As rules and actions both read it from the log, where other programs write too."""
    profile = Profile("acme")
    sent = {
        "owner": {"name": "Jo", "email": "jo.us.test"},
        "contacts": [{"id": "ann", "email": " ann@acme.test "}],
    }
    apply_update(profile, Event(type="account.updated", account="acme", data=sent))
    assert profile.owner is not None
    assert (profile.owner.name, profile.owner.email) == ("Jo", None)
    assert profile.contacts["ann"].email == "ann@acme.test"
    update = Event(
        type="contact.updated", account="acme", contact="ann", data={"email": "ann@", "name": "Ann"}
    )
    apply_update(profile, update)
    assert (profile.contacts["ann"].email, profile.contacts["ann"].name) == ("ann@acme.test", "Ann")
    gone = Event(type="contact.updated", account="acme", contact="ann", data={"email": None})
    apply_update(profile, gone)
    assert profile.contacts["ann"].email is None
