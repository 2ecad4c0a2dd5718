"""The native source: one event, an array, `{"events": […]}`; CloudEvents structured and batched."""

import base64
import json
from typing import Any

import pytest

from schemas.event import Event
from services.ingest.decoding.event_attributes import ExtendedEvent
from services.ingest.decoding.events import MAX_EVENT, Code, Decoded, NotReadable, Refusal, StrictEvent
from services.ingest.formats import native
from services.ingest.formats.base import Incoming


def decode(data: Any) -> list[Decoded]:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    return native.decode(Incoming(body))


def event(**more: Any) -> dict[str, Any]:
    return {"type": "ticket.opened", "account": "acme", **more}


def refused(data: Any) -> tuple[Code, str, str]:
    [item] = decode(data)
    assert isinstance(item, Refusal)
    return item.code, item.field, item.message


@pytest.mark.parametrize("data", [event(), [event()], {"events": [event()]}])
def test_the_three_shapes(data: Any) -> None:
    [item] = decode(data)
    assert isinstance(item, Event)
    assert (item.type, item.account, item.source, item.specversion) == ("ticket.opened", "acme", "api", "1.0")


def test_the_quick_way_and_the_slow_way_read_the_same() -> None:
    full = event(
        id="1", time="2026-01-01T00:00:00+02:00", contact="ann", data={"a": [1, 2.5, None]}, historical=True
    )
    [quick] = decode([full])
    slow, _ = decode([full, {"type": 5}])
    assert isinstance(quick, StrictEvent)
    assert type(slow) is Event
    for name in Event.__struct_fields__:
        assert getattr(quick, name) == getattr(slow, name)


def test_one_bad_event_leaves_its_neighbours_alone() -> None:
    items = decode([event(id="a"), event(id="b", account=5), event(id="c")])
    assert [type(item) for item in items] == [Event, Refusal, Event]
    assert isinstance(items[1], Refusal)
    assert items[1].id == "b"


A_TIME = "should be a time with an offset, such as 2026-11-22T09:00:00Z"


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"account": "a"}, (Code.REQUIRED, "type", "is required")),
        (event(account=5), (Code.INVALID, "account", "should be text or null, not a number")),
        (event(historical="yes"), (Code.INVALID, "historical", "should be true or false, not text")),
        (event(time=5), (Code.TIME, "time", A_TIME)),
        (event(time="soon"), (Code.TIME, "time", A_TIME)),
        (event(time="2026-13-01T00:00:00Z"), (Code.TIME, "time", A_TIME)),
        ([5], (Code.INVALID, "", "should be an object, not a number")),
    ],
)
def test_refusals_name_the_field(wrong: Any, expected: tuple[Code, str, str]) -> None:
    assert refused(wrong) == expected


def test_other_refusals() -> None:
    assert refused(event(data_base64="?"))[:2] == (Code.INVALID, "data_base64")
    assert refused(b'{"type":"a","account":"b","data":' + b"1" * 5_000 + b"}")[:2] == (Code.INVALID, "data")
    assert refused(b'{"type":"a","account":"b","data":1e999}')[:2] == (Code.INVALID, "data")
    assert refused(b'[{"type":"a","account":"b","data":"\\ud800"}]')[:2] == (Code.INVALID, "data")


def test_an_event_may_have_64_kib() -> None:
    room = MAX_EVENT - len(json.dumps(event(data="")))
    assert isinstance(decode(event(data="x" * room))[0], Event)
    assert refused(event(data="x" * (room + 1)))[:2] == (Code.TOO_LARGE, "data")
    [item] = decode(event(id="7", data="x" * (room + 1)))
    assert isinstance(item, Refusal)
    assert item.id == "7"
    items = decode([event(data="x" * 40_000), event(data="x" * 70_000), event(data="x" * 40_000)])
    assert [isinstance(item, Event) for item in items] == [True, False, True]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"   ", b"{", b"[", b"nope", b"5", b'"x"', b"null", b"\xff", b"[{]", b'[{"type": "a"},]',
        b'{"type":"a","account":"\xff"}', b'{"events": 5}', b'{"events": [], "more": 1}', b"[" * 100_000,
        b'{"type": "a"} x',
    ],
)  # fmt: skip
def test_what_is_not_readable(body: bytes) -> None:
    try:
        items = decode(body)
    except NotReadable as error:
        assert str(error)  # noqa: PT017
    else:
        assert all(isinstance(item, Refusal) for item in items)


def test_empty_batches() -> None:
    assert decode([]) == []
    assert decode({"events": []}) == []


def test_an_attribute_named_events_is_no_batch() -> None:
    [item] = decode(event(events=5, specversion="1.0"))
    assert isinstance(item, Event)
    [item] = decode(event(events=5))
    assert isinstance(item, Refusal)
    assert (item.code, item.field) == (Code.UNKNOWN, "events")


EXTENDED = {"traceparent": "00-1", "sampled": True, "partitionkey": "x", "n": 7}


def test_a_cloud_event_may_have_extension_attributes() -> None:
    [item] = decode(event(**EXTENDED, specversion="1.0", left=None))
    assert isinstance(item, ExtendedEvent)
    assert item.extensions == EXTENDED
    [item] = decode(event(dataschema="https://x", datacontenttype="application/json", subject="s"))
    assert isinstance(item, StrictEvent)
    [item] = decode([event(), event(**EXTENDED, specversion="1.0")])[1:]
    assert isinstance(item, ExtendedEvent)


@pytest.mark.parametrize("name", EXTENDED)
def test_without_specversion_nobody_knows_them(name: str) -> None:
    for more in ({}, {"specversion": None}):
        assert refused(event(**{name: EXTENDED[name]}, **more))[:2] == (Code.UNKNOWN, name)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"traceParent": "00-1"}, Code.UNKNOWN),
        ({"trace_parent": "00-1"}, Code.UNKNOWN),
        ({"größe": 1}, Code.UNKNOWN),
        ({"": 1}, Code.UNKNOWN),
        ({"detail": {"ticket": 1}}, Code.INVALID),
        ({"tags": ["a"]}, Code.INVALID),
    ],
)
def test_what_cloud_events_does_not_allow(more: dict[str, Any], code: Code) -> None:
    assert refused(event(specversion="1.0", **more))[:2] == (code, next(iter(more)))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(("acount", "account"), ("Account", "account"), ("account_id", "account"), ("contacts", "contact")),
        *(("timestamp", "time"), ("typ", "type"), ("spec_version", "specversion")),
    ],
)
def test_the_nearest_name_is_told(name: str, meant: str) -> None:
    sent = {"type": "a", name: "acme"}
    code, field, message = refused(sent)
    assert (code, field, message) == (Code.UNKNOWN, name, f"is no field of an event; did you mean {meant}?")


def test_names_like_no_other_are_told_what_there_is() -> None:
    message = refused(event(zendesk="1"))[2]
    assert "account" in message
    assert "specversion" in message


def test_a_help_desks_webhook_in_its_own_shape_is_refused() -> None:
    """Zendesk's event webhooks: near enough to CloudEvents that each ticket became an account."""
    webhook = {
        "type": "zen:event-type:ticket.created",
        "account_id": 12514403,
        "id": "01J2K",
        "time": "2026-11-22T09:00:00Z",
        "zendesk_event_version": "2022-11-06",
        "subject": "zen:ticket:7",
        "detail": {"id": "7", "priority": "high"},
        "event": {},
    }
    assert refused(webhook)[:2] == (Code.UNKNOWN, "account_id")


@pytest.mark.parametrize(
    ("content", "kind", "data"),
    [
        (b'{"a": 1}', "application/json", {"a": 1}),
        (b'{"a": 1}', None, {"a": 1}),
        (b"hello", "text/plain", "hello"),
        (b"\x00\xff", "application/octet-stream", "AP8="),
    ],
)
def test_base64_data(content: bytes, kind: str | None, data: Any) -> None:
    sent = event(data_base64=base64.b64encode(content).decode())
    [item] = decode(sent | ({"datacontenttype": kind} if kind else {}))
    assert isinstance(item, Event)
    assert item.data == data


def test_a_deep_event_in_a_batch_is_refused_alone() -> None:
    deep: Any = 1
    for _ in range(60):
        deep = [deep]
    items = decode([event(), event(data=deep)])
    assert len(items) == 2


@pytest.mark.parametrize("form", [b"[%b]", b'{"events":[%b]}'])
@pytest.mark.parametrize(
    "one", [b"1", b"{}", b"[]", b'{"type":"a"}', b'{"type":"a","account":"b"}', b'"a,b"']
)
def test_more_items_than_a_request_may_have_are_only_counted(form: bytes, one: bytes) -> None:
    found = native.decode(Incoming(form % b",".join([one] * 9_000)))
    assert len(found) == 9_000
    assert len({id(item) for item in found}) == 1 or isinstance(found[0], StrictEvent)


def test_commas_within_events_are_no_events() -> None:
    [item] = decode([event(data=[0] * 5_000)])
    assert isinstance(item, Event)
    [item] = decode([event(type=5, data=[0] * 5_000)])
    assert isinstance(item, Refusal)
    assert item.field == "type"
