"""By what an account is found: the same as its profile says, of what is vouched for."""

from hashlib import blake2b
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.addresses import normal
from schemas.event import Event
from schemas.external_ids import listed
from schemas.forwarding import ABSORBED, Absorbed, take_in
from schemas.profile import Contact, Profile, apply_update
from services.ingest.identity.account_entries import LEARNED, AccountEntries, apply, entries_of, rows_of

EMAILS = st.sampled_from(["ann@acme.test", " ANN@acme.test", "bob@größe.test", "no address", "", None, 7])
IDS = st.sampled_from(["36", " 37 ", "", None, 7, ["36", "37", "36"], ["", "38"], [], [7]])
DOMAINS = st.sampled_from(["acme.test", "ACME.test", "größe.test", "gmail.com", "", 7])
NAMES = st.sampled_from(["ann", "bob"])
PERSON = st.fixed_dictionaries({}, optional={"email": EMAILS, "name": st.just("Ann")})
UPDATE = st.fixed_dictionaries(
    {},
    optional={
        "external_ids": st.dictionaries(st.sampled_from(["crm", "desk", ""]), IDS, max_size=2) | st.none(),
        "domains": st.lists(DOMAINS, max_size=3) | st.none() | st.just("acme.test"),
        "contacts": st.lists(
            PERSON.flatmap(lambda one: NAMES.map(lambda who: {**one, "id": who})), max_size=2
        ),
        "name": st.just("Acme"),
    },
)
CONTACT = st.builds(Contact, id=NAMES, email=st.sampled_from(["ann@acme.test", "lou@acme.test", None]))


def event(type_: str, data: Any = None, **more: Any) -> Event:
    return Event(type=type_, account="acme", data=data, **more)


def absorbed(contacts: list[Contact], lone: int) -> Event:
    kept = list({one.id: one for one in contacts}.values())
    return event(ABSORBED, msgspec.to_builtins(Absorbed("old", {"old": []}, kept, "crm", lone)))


EVENTS = st.one_of(
    UPDATE.map(lambda data: event("account.updated", data)),
    st.builds(lambda data, who: event("contact.updated", data, contact=who), PERSON, NAMES),
    NAMES.map(lambda who: event("contact.deleted", contact=who)),
    st.just(event("account.deleted")),
    st.builds(absorbed, st.lists(CONTACT, max_size=2), st.sampled_from([0, 1])),
)
UNVOUCHED = st.one_of(
    UPDATE.map(lambda data: event("account.updated", data, unvouched=True)),
    st.builds(lambda data, who: event("contact.updated", data, contact=who, unvouched=True), PERSON, NAMES),
)


def hash_of(address: str) -> bytes:
    return blake2b(address.encode(), digest_size=16).digest()


def key(kind: str, system: str, value: str) -> bytes:
    return blake2b(repr((kind, system, value)).encode(), digest_size=16).digest()


def followed(events: list[Event]) -> AccountEntries:
    entries = AccountEntries()
    for one in events:
        apply(entries, one, hash_of)
        entries = entries_of(iter(sorted(rows_of(entries, key), key=str)))  # as if it were stored each time
    return entries


def plainly(events: list[Event]) -> Profile:
    profile = Profile("acme")
    for one in events:
        if one.type == ABSORBED:
            take_in(profile, msgspec.convert(one.data, Absorbed))
        else:
            apply_update(profile, one)
    return profile


@given(st.lists(EVENTS, max_size=6), st.lists(st.tuples(st.integers(0, 6), UNVOUCHED), max_size=3))
def test_entries_are_those_of_the_profile_whatever_a_public_key_says(
    events: list[Event], others: list[tuple[int, Event]]
) -> None:
    assert {one.type for one in events} <= LEARNED
    profile = plainly(events)
    for place, one in others:
        events = [*events[:place], one, *events[place:]]
    found = followed(events)
    assert {name: set(listed(ids)) for name, ids in found.external_ids.items()} == {
        name: set(listed(ids)) for name, ids in profile.external_ids.items()
    }
    assert set(found.domains) == set(profile.domains)
    assert found.contacts == {
        name: None if one.email is None else hash_of(normal(one.email))
        for name, one in profile.contacts.items()
    }


def test_what_get_shows_of_a_stranger_says_nothing() -> None:
    shown = {"contacts": [{"id": "ann", "email": "ann@acme.test", "unvouched": True}]}
    assert followed([event("account.updated", shown)]) == AccountEntries()
