"""Segment's calls as events."""

import json
from typing import Any

import pytest

from schemas.event import RESERVED, Event, is_reserved
from services.ingest.decoding.events import Code, Decoded, NotReadable, Refusal
from services.ingest.formats.segment.calls import TrackingCall, read
from services.ingest.formats.segment.events import said_of, type_of
from services.ingest.identity.book import IdentityBook
from services.ingest.identity.placement import IdentityCall, place


def events_of(calls: list[TrackingCall | Refusal], groups: dict[str, str]) -> list[Decoded | None]:
    """Each call's event, as the door would place it if these were the users' groups."""
    book = IdentityBook(groups={(user, False): [(0, group)] for user, group in groups.items()})
    said = [said_of(call, unvouched=False) for call in calls]
    place([one for one in said if isinstance(one, IdentityCall)], book)
    return [one.event if isinstance(one, IdentityCall) else one for one in said]


def one(kind: str, body: dict[str, Any], groups: dict[str, str] | None = None) -> Decoded | None:
    calls = read(json.dumps(body).encode(), kind)
    [item] = events_of(calls, groups or {})
    return item


def event(kind: str, body: dict[str, Any], groups: dict[str, str] | None = None) -> Event:
    item = one(kind, body, groups)
    assert isinstance(item, Event), item
    return item


def refused(kind: str, body: dict[str, Any]) -> str:
    item = one(kind, body)
    assert isinstance(item, Refusal), item
    return item.field


def test_track() -> None:
    body = {
        "messageId": "m1",
        "userId": "ann",
        "event": "Ticket  Opened!",
        "properties": {"severity": "high"},
        "timestamp": "2026-01-01T00:00:00Z",
    }
    made = event("track", body)
    assert (made.id, made.type, made.contact, made.account) == ("m1", "ticket_opened_", "ann", "ann")
    assert made.data == {"severity": "high"}
    assert made.source == "segment"
    assert made.time is not None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Order Completed", "order_completed"),
        ("invoice.paid", "invoice.paid"),
        ("a--b__c", "a_b_c"),
        ("Größe", "gr_e"),
        ("Account.Deleted", "track.account.deleted"),
        ("ACCOUNT.UPDATED", "track.account.updated"),
        ("touchline.clock", "track.touchline.clock"),
    ],
)
def test_types(name: str, kind: str) -> None:
    assert type_of(name) == kind


@pytest.mark.parametrize("name", [*sorted(RESERVED), "touchline.email.sent", "Touchline.Rules.Saved"])
def test_no_call_yields_a_reserved_type(name: str) -> None:
    assert not is_reserved(event("track", {"userId": "u", "event": name}).type)


def test_the_account_of_a_call() -> None:
    body = {"userId": "ann", "event": "x", "context": {"groupId": "here"}}
    assert event("track", body, {"ann": "before"}).account == "here"
    assert event("track", {"userId": "ann", "event": "x"}, {"ann": "before"}).account == "before"
    assert event("track", {"userId": "ann", "event": "x"}).account == "ann"
    anonymous = event("track", {"anonymousId": "anon", "event": "x"})
    assert (anonymous.account, anonymous.contact) == ("anon", None)
    assert event("track", {"userId": 7, "event": "x"}).contact == "7"


def test_identify() -> None:
    traits = {"email": "ann@acme.test", "firstName": "Ann", "lastName": "Doe", "plan": "pro", "timezone": 5}
    made = event("identify", {"userId": "ann", "traits": traits}, {"ann": "acme"})
    assert (made.type, made.account, made.contact) == ("contact.updated", "acme", "ann")
    attributes = {"firstName": "Ann", "lastName": "Doe", "plan": "pro", "timezone": 5}
    assert made.data == {"email": "ann@acme.test", "name": "Ann Doe", "attributes": attributes}
    assert event("identify", {"anonymousId": "anon", "traits": {}}).contact == "anon"


def test_group() -> None:
    made = event("group", {"userId": "ann", "groupId": "acme", "traits": {"name": "Acme", "plan": "pro"}})
    assert (made.type, made.account, made.contact) == ("account.updated", "acme", "ann")
    assert made.data == {"name": "Acme", "attributes": {"name": "Acme", "plan": "pro"}}
    assert refused("group", {"userId": "ann"}) == "groupId"


@pytest.mark.parametrize("kind", ["page", "screen"])
def test_pages(kind: str) -> None:
    made = event(kind, {"userId": "ann", "name": "Pricing", "properties": {"url": "/"}})
    assert (made.type, made.data) == (kind, {"url": "/", "name": "Pricing"})


def test_alias_says_nothing() -> None:
    assert one("alias", {"userId": "ann", "previousId": "anon"}) is None


def test_a_batch_has_a_context_of_its_own() -> None:
    body = {"context": {"groupId": "acme"}, "batch": [{"type": "track", "userId": "u", "event": "x"}]}
    [item] = events_of(read(json.dumps(body).encode(), "batch"), {})
    assert isinstance(item, Event)
    assert item.account == "acme"


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        ("track", {"userId": "u"}, "event"),
        ("track", {"event": "x"}, "userId"),
        ("track", {"event": "x", "userId": "u", "timestamp": "soon"}, "timestamp"),
        ("track", {"event": "x", "userId": "u", "messageId": 5}, "messageId"),
    ],
)
def test_refusals_use_their_names(kind: str, body: dict[str, Any], field: str) -> None:
    assert refused(kind, body) == field


def test_batches_refuse_what_is_no_call() -> None:
    calls = read(b'{"batch": [5, {"type": "x"}, {"type": "track", "userId": "u", "event": "e"}]}', "batch")
    assert [type(call) for call in calls] == [Refusal, Refusal, TrackingCall]
    big = {"type": "track", "userId": "u", "event": "e", "properties": {"x": "x" * 70_000}}
    assert isinstance(read(json.dumps({"batch": [big]}).encode(), "batch")[0], Refusal)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b"{}", b'{"batch": {}}'])
def test_what_is_not_readable(body: bytes) -> None:
    with pytest.raises(NotReadable):
        read(body, "batch")


def test_what_is_too_large_or_too_many_is_not_taken_apart() -> None:
    [call] = read(b'{"userId":"ann","messageId":"7","traits":{"a":"%b"}}' % (b"x" * 70_000), "identify")
    assert isinstance(call, Refusal)
    assert (call.code, call.field, call.id) == (Code.TOO_LARGE, "traits", "7")
    many = read(b'{"batch":[%b1]}' % (b"1," * 5_000), "batch")
    assert len(many) == 5_001


SENT = "2026-01-10T12:00:00.000Z"
SENT_US = 1_768_046_400_000_000
DAY_US = 86_400_000_000


@pytest.mark.parametrize(
    ("ahead", "shown"),
    [
        (-9 * DAY_US, "2026-01-19T11:50:00+00:00"),  # a slow clock
        (2 * DAY_US, "2026-01-08T11:50:00+00:00"),  # a fast one
        (300_000_001, "2026-01-10T11:44:59.999999+00:00"),
        (300_000_000, "2026-01-10T11:50:00+00:00"),  # five minutes are the way of the net
        (-300_000_000, "2026-01-10T11:50:00+00:00"),
    ],
)
@pytest.mark.parametrize("kind", ["track", "batch"])
def test_a_senders_clock_is_set_right(ahead: int, shown: str, kind: str) -> None:
    call = {"type": "track", "userId": "u", "event": "x", "timestamp": "2026-01-10T11:50:00.000Z"}
    body = {"batch": [call], "sentAt": SENT} if kind == "batch" else {**call, "sentAt": SENT}
    [item] = events_of(read(json.dumps(body).encode(), kind, SENT_US - ahead), {})
    assert isinstance(item, Event)
    assert item.time is not None
    assert item.time.isoformat() == shown
    assert item.originaltime == (
        None if shown.endswith("11:50:00+00:00") and "-10T" in shown else call["timestamp"]
    )


@pytest.mark.parametrize(
    "sent", ["soon", 5, None, "2026-01-01T00:00:00", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"]
)
def test_an_odd_sent_at_loses_no_call(sent: Any) -> None:
    body = {"userId": "u", "event": "x", "timestamp": "2026-01-10T11:50:00Z", "sentAt": sent}
    [item] = events_of(read(json.dumps(body).encode(), "track", SENT_US), {})
    assert isinstance(item, Event)
    assert item.time is not None


def test_with_the_log_clock_times_are_as_sent() -> None:
    body = {
        "userId": "u",
        "event": "x",
        "timestamp": "2026-01-10T11:50:00Z",
        "sentAt": "2020-01-01T00:00:00Z",
    }
    made = event("track", body)
    assert made.time is not None
    assert (made.time.isoformat(), made.originaltime) == ("2026-01-10T11:50:00+00:00", None)


def test_the_time_is_the_timestamp_or_else_the_original_one() -> None:
    body = {"userId": "u", "event": "x", "originalTimestamp": "2026-01-01T00:00:00Z"}
    for more in ({}, {"timestamp": None}, {"timestamp": ""}):
        made = event("track", {**body, **more})
        assert made.time is not None
        assert made.time.isoformat() == "2026-01-01T00:00:00+00:00"
    made = event("track", {**body, "timestamp": "2026-02-01T00:00:00Z"})
    assert made.time is not None
    assert made.time.month == 2


def test_traits_in_the_context_are_the_users() -> None:
    context = {"traits": {"email": "ann@acme.test"}}
    assert event("identify", {"userId": "ann", "context": context}).data["email"] == "ann@acme.test"
    both = event("identify", {"userId": "ann", "context": context, "traits": {"name": "Ann"}})
    assert both.data == {"name": "Ann", "attributes": {}}
    group = event("group", {"userId": "ann", "groupId": "acme", "context": context})
    assert group.data == {"attributes": {}}
