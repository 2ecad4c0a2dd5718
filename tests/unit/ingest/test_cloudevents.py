"""CloudEvents in binary mode."""

from collections.abc import Mapping

import pytest

from schemas.event import Event
from services.ingest.decoding.event_attributes import ExtendedEvent
from services.ingest.decoding.events import Code, Decoded, NotReadable, Refusal
from services.ingest.formats import cloudevents
from services.ingest.formats.base import Incoming
from services.ingest.formats.cloudevents import is_binary


def decode(body: bytes, headers: Mapping[str, str]) -> list[Decoded]:
    return cloudevents.decode(Incoming(body, headers))


HEADERS = {
    "ce-specversion": "1.0",
    "ce-id": "1",
    "ce-source": "/billing",
    "ce-type": "invoice.overdue",
    "ce-account": "acme",
    "content-type": "application/json",
}


def test_attributes_and_data() -> None:
    headers = {**HEADERS, "ce-time": "2026-01-01T00:00:00Z", "ce-contact": "ann", "ce-historical": "true"}
    [event] = decode(b'{"a": 1}', headers)
    assert isinstance(event, Event)
    assert (event.id, event.source, event.type, event.account) == ("1", "/billing", "invoice.overdue", "acme")
    assert (event.contact, event.historical, event.data) == ("ann", True, {"a": 1})
    assert event.time is not None


def test_values_are_percent_encoded() -> None:
    [event] = decode(b"", {**HEADERS, "ce-account": "M%C3%BCller%20AG"})
    assert isinstance(event, Event)
    assert event.account == "Müller AG"
    assert event.data is None


@pytest.mark.parametrize(
    ("kind", "body", "data"),
    [("text/plain", b"hi", "hi"), ("application/octet-stream", b"\xff", "/w=="), ("a/b+json", b"[1]", [1])],
)
def test_other_content(kind: str, body: bytes, data: object) -> None:
    [event] = decode(body, {**HEADERS, "content-type": kind})
    assert isinstance(event, Event)
    assert event.data == data


def test_what_is_wrong() -> None:
    with pytest.raises(NotReadable):
        decode(b"{", HEADERS)
    [refusal] = decode(b"", {**HEADERS, "ce-historical": "maybe"})
    assert isinstance(refusal, Refusal)
    [refusal] = decode(b"", {name: value for name, value in HEADERS.items() if name != "ce-type"})
    assert isinstance(refusal, Refusal)
    assert (refusal.field, refusal.id) == ("type", "1")


def test_which_requests_are_binary() -> None:
    assert is_binary(HEADERS)
    assert not is_binary({"content-type": "application/json"})


def test_a_header_that_is_no_text_is_refused() -> None:
    headers = {"ce-type": "a", "ce-account": "ac%FFme", "ce-id": "7"}
    [refused] = decode(b"{}", headers)
    assert isinstance(refused, Refusal)
    assert refused.field == "ce-account"


def test_extension_attributes_of_headers() -> None:
    [item] = decode(
        b"{}", {"ce-type": "a", "ce-account": "acme", "ce-traceparent": "00-1", "ce-subject": "t/7"}
    )
    assert isinstance(item, ExtendedEvent)
    assert (item.extensions, item.subject) == ({"traceparent": "00-1"}, "t/7")
    [refused] = decode(b"{}", {"ce-type": "a", "ce-account": "acme", "ce-trace_parent": "00-1"})
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.field) == (Code.UNKNOWN, "ce-trace_parent")
