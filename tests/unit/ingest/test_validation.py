"""What holds for every event, whatever its format."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.event import Event, decode, from_microseconds, microseconds
from schemas.merging import Merge, merge_of
from services.ingest.decoding.event_attributes import ExtendedEvent
from services.ingest.decoding.events import Code, Refusal, StrictEvent, convert_event
from services.ingest.decoding.validation import EventValidator, ValidEvent

NOW = microseconds(datetime(2026, 11, 22, 9, tzinfo=UTC))


def door(**more: Any) -> EventValidator:
    options = {"now": NOW, "wall": True, "erasing": False, "new_id": lambda index: f"new-{index}", **more}
    return EventValidator(**options)


def event(**more: Any) -> Event:
    return Event(**{"type": "a", "account": "acme", "id": "1", "time": from_microseconds(NOW), **more})


def taken(sent: Event, **more: Any) -> Event:
    normal = door(**more).check(0, sent)
    assert isinstance(normal, ValidEvent)
    return decode(normal.value, place="", timestamp=0)


def refused(sent: Event, **more: Any) -> tuple[Code, str]:
    refusal = door(**more).check(0, sent)
    assert isinstance(refusal, Refusal), refusal
    assert refusal.message
    return refusal.code, refusal.field


def test_defaults() -> None:
    read = taken(Event(type="a", account="acme"))
    assert (read.id, read.source, read.specversion, read.account) == ("new-0", "api", "1.0", "acme")
    assert read.time == from_microseconds(NOW)
    assert door().check(7, Event(type="a", account="b")) == ValidEvent(
        "b", "a", None, b'{"id":"new-7","type":"a","time":"2026-11-22T09:00:00Z","account":"b"}'
    )


@pytest.mark.parametrize("name", ["id", "source", "type", "account", "contact"])
def test_lengths(name: str) -> None:
    assert getattr(taken(event(**{name: "x" * 256})), name) == "x" * 256
    assert refused(event(**{name: "x" * 257})) == (Code.LENGTH, name)
    if name != "id":
        assert refused(event(**{name: ""})) == (Code.LENGTH, name)


def test_an_account_is_required() -> None:
    assert refused(event(account=None)) == (Code.REQUIRED, "account")


def test_other_versions_of_cloudevents() -> None:
    assert refused(event(specversion="0.3")) == (Code.INVALID, "specversion")


def test_times_are_utc() -> None:
    moment = datetime.fromisoformat("2026-11-22T10:00:00+02:00")
    normal = door().check(0, event(time=moment))
    assert isinstance(normal, ValidEvent)
    assert b'"time":"2026-11-22T08:00:00Z"' in normal.value
    assert refused(event(time=datetime(2026, 1, 1))) == (Code.TIME, "time")  # noqa: DTZ001 - that is the point


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00", "1800-01-01T00:00:00Z"]
)
def test_times_that_cannot_be(text: str) -> None:
    assert refused(event(time=datetime.fromisoformat(text))) == (Code.TIME, "time")


def test_the_future_is_cut_back_with_the_wall_clock() -> None:
    near = from_microseconds(NOW + 300_000_000)
    far = from_microseconds(NOW + 300_000_001)
    assert taken(event(time=near)).time == near
    read = taken(event(time=far))
    assert read.time == from_microseconds(NOW)
    assert read.originaltime is not None
    assert datetime.fromisoformat(read.originaltime) == far
    assert taken(event(time=far), wall=False).time == far


def test_nul() -> None:
    assert refused(event(data={"a": "x\0"})) == (Code.NUL, "data")
    assert refused(event(id="a\0")) == (Code.NUL, "id")
    assert taken(event(data={"a": "\\u0000"})).data == {"a": "\\u0000"}


def test_depth() -> None:
    deep: Any = "[[{{"
    for _ in range(32):
        deep = [deep]
    assert taken(event(data=deep)).data == deep
    assert refused(event(data=[deep])) == (Code.TOO_DEEP, "data")
    assert taken(event(data=[[1]] * 1_000)).data == [[1]] * 1_000


@pytest.mark.parametrize(
    "kind", ["touchline.email.sent", "touchline.clock", "touchline.rules.saved", "touchline."]
)
def test_our_own_types_are_refused(kind: str) -> None:
    assert refused(event(type=kind), erasing=True) == (Code.RESERVED, "type")


def test_erasures_need_the_scope() -> None:
    assert refused(event(type="account.deleted")) == (Code.SCOPE, "type")
    assert taken(event(type="account.deleted"), erasing=True).type == "account.deleted"
    assert refused(event(type="contact.deleted", contact="ann")) == (Code.SCOPE, "type")
    assert refused(event(type="contact.deleted"), erasing=True) == (Code.REQUIRED, "contact")
    assert taken(event(type="contact.deleted", contact="ann"), erasing=True).contact == "ann"


def test_merges_need_the_scope_and_another_account() -> None:
    sent = {"type": "account.merged", "account": "a"}
    assert refused(event(**sent, data={"into": "b"})) == (Code.SCOPE, "type")
    assert merge_of(taken(event(**sent, data={"into": "b"}), erasing=True)) == Merge("a", "b")
    for data, found in [
        (None, (Code.INVALID, "data")),
        ({}, (Code.REQUIRED, "data.into")),
        ({"into": None}, (Code.REQUIRED, "data.into")),
        ({"into": 7}, (Code.INVALID, "data.into")),
        ({"into": ""}, (Code.INVALID, "data.into")),
        ({"into": "x" * 257}, (Code.INVALID, "data.into")),
        ({"into": "a"}, (Code.INVALID, "data.into")),
        ({"into": "b", "lone": True}, (Code.INVALID, "data.lone")),
        ({"into": "b", "contact": "u"}, (Code.INVALID, "data.contact")),
    ]:
        assert refused(event(**sent, data=data), erasing=True) == found
    assert refused(Event(type="account.merged", data={"into": "b"}), erasing=True) == (
        Code.REQUIRED,
        "account",
    )


def test_only_our_own_segment_door_says_unvouched() -> None:
    assert refused(event(unvouched=True)) == (Code.RESERVED, "unvouched")
    assert taken(event(unvouched=True), inside=True).unvouched is True
    lone = {"into": "b", "lone": True, "contact": "u"}
    made = taken(event(type="account.merged", account="a", data=lone, unvouched=True), inside=True)
    assert merge_of(made) == Merge("a", "b", lone=True, contact="u", unvouched=True)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"tier": "gold"}, "data.tier"),
        ({"contacts": [{"id": "a"}, {"email": "a@b.test"}]}, "data.contacts.1.id"),
        ({"contacts": [{"id": "a"}, {"id": "b", "email": "x"}]}, "data.contacts.1.email"),
        ({"owner": {"name": "Jo", "email": "jo.us.test"}}, "data.owner.email"),
        ({"timezone": "Eastern Time (US & Canada)"}, "data.timezone"),
        ({"owner": "jo"}, "data.owner"),
        ({"attributes": []}, "data.attributes"),
        ("x", "data"),
        (None, "data"),
    ],
)
def test_updates_are_looked_at(data: Any, field: str) -> None:
    assert refused(event(type="account.updated", data=data)) == (Code.INVALID, field)


def test_updates() -> None:
    data = {
        "name": None,
        "tier": "high",
        "owner": {"email": "jo@us.test"},
        "attributes": {"a": None},
        "more": 1,
    }
    assert taken(event(type="account.updated", data=data)).data == data
    assert taken(event(type="contact.updated", data={"id": "ann", "roles": ["admin"]})).contact == "ann"
    assert refused(event(type="contact.updated", data={"roles": []})) == (Code.REQUIRED, "contact")
    assert refused(event(type="contact.updated", contact="a", data={"roles": 1})) == (
        Code.INVALID,
        "data.roles",
    )
    assert refused(event(type="contact.updated", data={"id": ""})) == (Code.LENGTH, "contact")
    assert taken(event(type="account.created", data=5)).data == 5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(data=JSON)
def test_what_is_taken_reads_the_same_from_the_log(data: Any) -> None:
    result = door().check(0, event(data=data))
    if isinstance(result, Refusal):
        assert result.code in {Code.NUL, Code.TOO_DEEP}
        assert result.code is not Code.NUL or b"\\u0000" in msgspec.json.encode(data)
    else:
        assert decode(result.value, place="", timestamp=0).data == data


def test_a_subject_is_kept_and_is_no_account() -> None:
    assert refused(Event(type="a", subject="acme")) == (Code.REQUIRED, "account")
    assert taken(Event(type="a", account="acme", subject="zen:ticket:7")).subject == "zen:ticket:7"
    assert refused(Event(type="a", account="acme", subject="a\0b"))[0] == Code.NUL


def test_extensions_stand_on_the_log_beside_the_others() -> None:
    more = {"traceparent": "00-1", "sampled": True, "n": 1.5}
    normal = door().check(0, ExtendedEvent(type="a", account="b", data={"a": 1}, extensions=more))
    assert isinstance(normal, ValidEvent)
    assert json.loads(normal.value).items() >= {"type": "a", "account": "b", "data": {"a": 1}, **more}.items()
    assert "extensions" not in json.loads(normal.value)
    bad = ExtendedEvent(type="a", account="b", extensions={"traceparent": "a\0b"})
    assert refused(bad)[0] == Code.NUL


def test_addresses_are_trimmed_on_the_way_in() -> None:
    data = {"contacts": [{"id": "a", "email": " a@b.test "}], "owner": {"email": "jo@us.test "}, "more": 1}
    read = taken(event(type="account.updated", data=data))
    assert read.data == {
        "contacts": [{"id": "a", "email": "a@b.test"}], "owner": {"email": "jo@us.test"}, "more": 1,
    }  # fmt: skip


def test_of_a_segment_call_what_is_wrong_is_left_out_and_told_of() -> None:
    inside = door(inside=True)
    data = {"email": "ann@", "name": "Ann", "timezone": "Mars/Olympus", "attributes": {"plan": "pro"}}
    normal = inside.check(0, event(type="contact.updated", contact="ann", data=data))
    assert isinstance(normal, ValidEvent)
    assert json.loads(normal.value)["data"] == {"name": "Ann", "attributes": {"plan": "pro"}}
    assert [one.kind for one in inside.left_out] == ["email", "timezone"]


@pytest.mark.parametrize(("name", "value"), [("mergedfrom", "other"), ("mergedhops", 1), ("unvouched", True)])
def test_some_attributes_are_ours_to_say_alone(name: str, value: object) -> None:
    assert refused(event(**{name: value})) == (Code.RESERVED, name)
    wire = StrictEvent(type="a", account="b", id="1", time=from_microseconds(NOW), **{name: value})  # type: ignore[arg-type]
    assert door().quick(wire) is None
    assert refused(wire) == (Code.RESERVED, name)
    sent = {"type": "a", "account": "b", "id": "1", "specversion": "1.0", "other": "x", name: value}
    answer = convert_event(sent)
    assert isinstance(answer, Refusal)
    assert (answer.code, answer.field) == (Code.RESERVED, name)
