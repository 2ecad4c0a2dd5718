"""Bodies in which one event is no JSON: the others are taken, on every path."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.event import Event
from services.ingest.decoding.events import Code, NotReadable, Refusal
from services.ingest.decoding.json_recovery import NotRecoverable, elements, members
from services.ingest.formats import native
from services.ingest.formats.base import Incoming
from services.ingest.formats.segment.calls import TrackingCall, read, write_key_in

BAD = {
    "half a pair, first": rb'"cut \ud83d"',
    "half a pair, second": rb'"\udc00 cut"',
    "half a pair before another escape": rb'"\ud83d\u0041"',
    "out of range": b"1e999",
    "no UTF-8": b'"\xff"',
    "control character": b'"\x00"',
    "no number": b"NaN",
    "too deep": b"[" * 5_000 + b"]" * 5_000,
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(st.lists(VALUES, max_size=5), st.booleans(), st.sampled_from([None, 1]))
def test_elements_are_those_of_the_array(values: list[Any], ascii_only: bool, indent: int | None) -> None:
    body = json.dumps(values, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    assert [json.loads(piece) for piece in elements(body)] == values


@given(st.dictionaries(st.text(alphabet=st.characters(exclude_categories=["Cs"])), VALUES, max_size=5))
def test_members_are_those_of_the_object(values: dict[str, Any]) -> None:
    assert {name: json.loads(piece) for name, piece in members(json.dumps(values).encode()).items()} == values


@given(st.binary(max_size=60) | st.text(alphabet='[]{},:"\\ 1a').map(str.encode))
def test_anything_is_taken_apart_or_not(body: bytes) -> None:
    for take in (elements, members):
        with suppress(NotRecoverable):
            take(body)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("wrap", [b"[%b]", b'{"events": [%b]}'])
def test_one_bad_event_is_refused_alone(bad: bytes, wrap: bytes) -> None:
    good = b'{"type":"a","account":"x","data":{"t":"caf\\u00e9, \\"[ \\ud83d\\ude00"}}'
    body = wrap % b",".join([good, b'{"type":"a","id":"7","account":"x","data":{"n":%b}}' % bad, good])
    first, refused, last = native.decode(Incoming(body))
    assert isinstance(first, Event)
    assert isinstance(last, Event)
    assert first.data == last.data == {"t": 'café, "[ \U0001f600'}
    assert isinstance(refused, Refusal)
    assert (refused.field, refused.id) == ("data", "7")
    assert refused.message


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_one_bad_call_is_refused_alone(bad: bytes) -> None:
    good = b'{"type":"track","event":"a","userId":"x"}'
    wrong = b'{"type":"track","event":"a","userId":"x","messageId":"7","properties":{"n":%b}}' % bad
    body = b'{"batch":[%b,%b,%b],"context":{"groupId":"g"},"writeKey":"tl_1"}' % (good, wrong, good)
    first, refused, last = read(body, "batch")
    assert isinstance(first, TrackingCall)
    assert isinstance(last, TrackingCall)
    assert first.group == last.group == "g"
    assert isinstance(refused, Refusal)
    assert (refused.field, refused.id) == ("properties", "7")
    assert write_key_in(body) == "tl_1"
    [alone] = read(wrong, "track")
    assert isinstance(alone, Refusal)


def test_the_field_and_the_cut_character_are_named() -> None:
    [refused] = native.decode(Incoming(rb'{"type":"a","id":"7","account":"x\ud83d"}'))
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.field) == (Code.INVALID, "account")
    assert "half of a surrogate pair" in refused.message


def test_calls_under_a_context_that_cannot_be_read_are_nobodys() -> None:
    call = b'{"type":"track","event":"a","userId":"x"}'
    calls = read(b'{"batch":[%b,%b],"context":{"groupId":"g\\ud83d"}}' % (call, call), "batch")
    assert [each.field for each in calls if isinstance(each, Refusal)] == ["context", "context"]


@pytest.mark.parametrize("body", [b"[{},", b"[{}]]", b"[{},]", b'{"a"', b"[NaN", b'["a', b"[" * 400_000])
def test_what_is_no_list_of_anything_is_not_readable(body: bytes) -> None:
    with pytest.raises(NotReadable):
        native.decode(Incoming(body))


def test_a_bad_body_has_no_more_events_than_a_good_one() -> None:
    events = b",".join([b'{"type":"a","account":"x"}'] * 500 + [b"NaN"])
    assert len(native.decode(Incoming(b"[" + events + b"]"))) == 501
    assert all(isinstance(one, Refusal) for one in native.decode(Incoming(b"[" + events + b"]")))


def test_what_is_too_deep_to_be_taken_apart_is_refused_as_too_deep() -> None:
    body = b'{"type":"a","account":"x","data":' + b"[" * 400_000 + b"]" * 400_000 + b"}"
    [refused] = native.decode(Incoming(body))
    assert isinstance(refused, Refusal)
    assert refused.code == Code.TOO_DEEP
