"""Bodies of hooks: JSON, forms, XML; what cannot be read, or is too much, is refused as a whole."""

import json
from codecs import BOM_UTF8
from typing import Any
from urllib.parse import urlencode
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.decoding.refusals import NotReadable
from services.ingest.sources.bodies import MAX_DEPTH, MAX_VALUES, read

FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
XML = {"content-type": "text/xml"}
texts = st.text(st.characters(exclude_categories=("Cs", "Cc")))
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,8}", fullmatch=True)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    leaves | texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20
)


@given(values)
def test_json_is_what_was_sent(value: Any) -> None:
    assert read(json.dumps([value]).encode(), {}) == [value]


@given(st.dictionaries(texts, texts, max_size=20))
def test_a_form_is_an_object_of_strings(fields: dict[str, str]) -> None:
    assert read(urlencode(fields).encode(), FORM) == fields


def test_of_a_field_that_comes_twice_the_last() -> None:
    assert read(b"a=1&b=&a=2", FORM) == {"a": "2", "b": ""}


def test_what_curl_calls_a_form_is_read_by_how_it_begins() -> None:
    """`curl -d` calls everything a form. A form itself may hold JSON, or look like it where it is not escaped."""
    assert read(b' {"a": "b=c&d"}', FORM) == {"a": "b=c&d"}
    assert read(b"[1]", FORM) == [1]
    assert read(b"<a><b>1</b></a>", FORM) == {"a": {"b": "1"}}
    assert read(b"payload={}&b=[1]", FORM) == {"payload": "{}", "b": "[1]"}
    assert read(b"%7B=1&%5B=2", FORM) == {"{": "1", "[": "2"}


@pytest.mark.parametrize(
    ("body", "value"), [(b'{"a": 1}', {"a": 1}), (b"<a><b>1</b></a>", {"a": {"b": "1"}})]
)
def test_a_byte_order_mark_is_passed_over(body: bytes, value: Any) -> None:
    assert read(BOM_UTF8 + body, {}) == value


# An element: its children by name, each a list of elements, or its text.
elements = st.recursive(
    texts,
    lambda inner: st.dictionaries(names, st.lists(inner, min_size=1, max_size=3), min_size=1, max_size=3),
    max_leaves=10,
)


def _written(name: str, element: Any) -> str:
    inner = (
        escape(element)
        if isinstance(element, str)
        else "\n".join(_written(key, one) for key, several in element.items() for one in several)
    )
    return f'<x:{name} xmlns:x="urn:x" a="1">{inner}</x:{name}>'


def _expected(element: Any) -> Any:
    if isinstance(element, str):
        return element
    return {
        key: _expected(several[0]) if len(several) == 1 else [_expected(one) for one in several]
        for key, several in element.items()
    }


@settings(max_examples=40)
@given(names, elements)
def test_xml_is_its_content_without_prefixes_and_attributes(name: str, element: Any) -> None:
    assert read(_written(name, element).encode(), XML) == {name: _expected(element)}


def test_xml_is_known_by_its_beginning_where_nothing_says_json() -> None:
    xml = b' <?xml version="1.0" encoding="iso-8859-1"?><a><b>\xe9</b><b/><![CDATA[x]]></a>'
    assert (
        read(xml, {})
        == read(xml.strip(), {"content-type": "application/soap+xml"})
        == {"a": {"b": ["é", ""]}}
    )
    with pytest.raises(NotReadable):
        read(xml, {"content-type": "application/json"})


def test_one_bad_value_does_not_take_the_body_with_it() -> None:
    """It is refused with the event that holds it."""
    found = read(
        b'[{"a": "\\ud800"}, {"a": "\xff"}, {"a": 1e400}, {"a": ' + b"9" * 5_000 + b'}, {"a": 1}]', {}
    )
    assert [one["a"] for one in found] == ["\ud800", "\udcff", float("inf"), float("inf"), 1]


LAUGHS = b'<!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>'


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}), (b"{", {}), (b"1", {}), (b'"a"', {}), (b"null", {}),
        (b"9" * 100_000, {}), (b"[NaN]", {}), (b"[Infinity]", {}), (b"\xff", {}), (b"{'a': 1}", {}),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), {}), (b"[" * 100_000, {}),
        (b"[1" + b",1" * MAX_VALUES + b",1]", {}),
        (b"a=1&" * 2_000, FORM), (b'{"a": 1', FORM), (LAUGHS, FORM),
        (b"x", {"content-type": "multipart/form-data; boundary=x"}),
        (LAUGHS, XML), (LAUGHS, {}), (b"<!DOCTYPE a SYSTEM 'http://127.0.0.1/'><a/>", XML), (b"<a>&b;</a>", XML),
        (b"<a>", XML), (b"<a/><b/>", XML), (b"", XML), (b'<?xml version="1.0" encoding="x-none"?><a/>', XML),
        (b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1), XML),
        (b"<a>" + b"<b/>" * MAX_VALUES + b"</a>", XML),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(body: bytes, headers: dict[str, str]) -> None:
    with pytest.raises(NotReadable):
        read(body, headers)
