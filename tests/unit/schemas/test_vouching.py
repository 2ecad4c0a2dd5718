"""What anybody may have sent changes nothing that others said; an account's own domains."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.account import AccountIn, AccountUpdate
from schemas.domains import BadDomain, domain_of, valid_domain
from schemas.event import Event
from schemas.forwarding import Absorbed, take_in
from schemas.profile import Contact, Profile, apply_update, is_vouched

NAMES = st.sampled_from([None, "x", "y"])
DATA = st.fixed_dictionaries(
    {},
    optional={
        "name": NAMES, "email": NAMES, "tier": st.sampled_from(["high", None]), "roles": st.just(["admin"]),
        "active": st.booleans(), "domains": st.just(["acme.test"]), "owner": st.just({"name": "Jo"}),
        "attributes": st.dictionaries(st.sampled_from("ab"), st.sampled_from([None, 1, 2])),
        "contacts": st.lists(
            st.fixed_dictionaries({"id": st.sampled_from("uv")}, optional={"email": NAMES, "active": st.booleans()}),
            max_size=2,
        ),
    },
)  # fmt: skip
UPDATES = st.lists(st.tuples(st.sampled_from(["", "u", "v"]), DATA, st.booleans()), max_size=8)


def event(contact: str, data: dict[str, Any], unvouched: bool) -> Event:
    kind = "contact.updated" if contact else "account.updated"
    return Event(type=kind, account="acme", contact=contact or None, data=data, unvouched=unvouched)


def after(events: list[Event]) -> Profile:
    profile = Profile(id="acme")
    for each in events:
        apply_update(profile, each)
    return profile


def touched(each: Event) -> set[str]:
    """The contacts that an update names."""
    named = {each.contact or ""} - {""}
    if not each.unvouched and each.type == "account.updated":
        named |= {entry["id"] for entry in each.data.get("contacts", ())}
    return named


@given(UPDATES)
def test_a_stranger_changes_nothing_that_others_made(updates: list[tuple[str, dict[str, Any], bool]]) -> None:
    """Unvouched updates of what somebody has vouched for before make no difference, wherever they come."""
    sent = [event(*each) for each in updates]
    kept: list[Event] = []
    known: set[str] = set()
    for each in sent:
        target = each.contact or "the account"
        if not each.unvouched:
            known |= {"the account", *touched(each)}
        elif target in known:
            continue
        kept.append(each)
    assert after(sent) == after(kept)
    profile = after(sent)
    assert {one.id for one in profile.contacts.values() if not one.unvouched} == known - {"the account"}


@given(UPDATES)
def test_a_stranger_never_says_what_is_not_theirs_to_say(
    updates: list[tuple[str, dict[str, Any], bool]],
) -> None:
    profile = after([event(contact, data, True) for contact, data, _ in updates])
    assert (profile.tier, profile.owner, profile.domains) == (None, None, [])
    assert all(
        (one.unvouched, one.roles, one.active) == (True, [], True) for one in profile.contacts.values()
    )


def test_what_get_shows_vouches_for_nobody_when_it_is_written_back() -> None:
    profile = after([event("u", {"email": "u@x.test"}, True)])
    shown = {"id": "u", "email": "u@x.test", "unvouched": True}
    AccountIn.model_validate({"contacts": [shown]})
    apply_update(profile, event("", {"contacts": [shown]}, False))
    assert profile.contacts["u"].unvouched
    apply_update(profile, event("", {"contacts": [{"id": "u"}]}, False))
    assert not profile.contacts["u"].unvouched
    assert profile.contacts["u"].email == "u@x.test"


def test_profiles_of_yesterday_are_vouched_for() -> None:
    old = b'{"id":"acme","name":"Acme","contacts":{"u":{"id":"u","email":"u@x.test"}}}'
    profile = msgspec.json.decode(old, type=Profile)
    apply_update(profile, event("", {"name": "Evil"}, True))
    apply_update(profile, event("u", {"email": "evil@x.test"}, True))
    assert (profile.name, profile.contacts["u"].email) == ("Acme", "u@x.test")
    empty = msgspec.json.decode(b'{"id":"acme"}', type=Profile)
    apply_update(empty, event("", {"name": "New"}, True))
    assert (empty.name, empty.unvouched) == ("New", True)


def test_who_comes_along_with_a_merged_account() -> None:
    """A stranger gives way to one who is vouched for, and never the other way round."""
    bare, known = Contact(id="u"), Contact(id="u", email="u@x.test", attributes={"plan": "pro"})
    stranger = Contact(id="u", email="evil@x.test", name="Eve", unvouched=True)

    def taken(there: Contact, comes: Contact, lone: int = 0) -> Contact:
        profile = Profile(id="acme", contacts={"u": there})
        take_in(profile, Absorbed(account="u", contacts=[comes], lone=lone))
        return profile.contacts["u"]

    assert taken(stranger, known) == known
    for lone in (0, 1, 2):
        assert taken(known, stranger, lone) == known
        assert taken(bare, stranger, lone) == bare
    assert taken(bare, known) == bare, "two accounts may have two people of one id"
    assert taken(bare, known, lone=1) == known, "a lone account's user is one person"
    newer = Contact(id="u", email="new@x.test", attributes={"plan": "max", "seats": 3})
    assert taken(newer, known, lone=1) == newer
    assert taken(Contact(id="u", unvouched=True), stranger, lone=2) == stranger


def test_an_address_in_the_accounts_domains_vouches() -> None:
    profile = Profile(id="acme", domains=["acme.test", "xn--bcher-kva.example"])
    for address, found in [
        ("a@acme.test", True),
        ("A@ACME.Test", True),
        ("a@bücher.example", True),
        ("a@sub.acme.test", False),
        ("a@acme.test.evil.test", False),
        ("acme.test", False),
        ("", False),
        (None, False),
    ]:
        assert is_vouched(profile, Contact(id="u", email=address, unvouched=True)) is found, address
        assert is_vouched(profile, Contact(id="u", email=address))


@pytest.mark.parametrize(
    ("given", "found"),
    [("Acme.COM ", "acme.com"), ("bücher.example", "xn--bcher-kva.example"), ("a.b.co.uk", "a.b.co.uk"),
     ("live.acme.com", "live.acme.com"), ("yahoo.acme.co.uk", "yahoo.acme.co.uk")],
)  # fmt: skip
def test_domains(given: str, found: str) -> None:
    assert valid_domain(given) == found
    assert domain_of(f"someone@{given.strip()}") == found


@pytest.mark.parametrize(
    "bad",
    ["", "acme", "@acme.com", "*.acme.com", "a b.com", "a@b.com", "acme..com", "http://acme.com", 7, None,
     "gmail.com", "GMail.com", "yahoo.co.uk", "yahoo.com.br", "outlook.fr", "web.de"],
)  # fmt: skip
def test_what_is_no_domain_or_everybodys(bad: object) -> None:
    with pytest.raises(BadDomain):
        valid_domain(bad)
    assert after([event("", {"domains": [bad, "acme.com", "ACME.com"]}, False)]).domains == ["acme.com"]
    for model in (AccountIn, AccountUpdate):
        with pytest.raises(ValidationError):
            model.model_validate({"domains": [bad]})
    if isinstance(bad, str) and bad.lower() == "gmail.com":
        with pytest.raises(ValidationError, match="public mail provider"):
            AccountIn.model_validate({"domains": [bad]})
    assert AccountIn.model_validate({"domains": [" ACME.com"]}).domains == ["acme.com"]
