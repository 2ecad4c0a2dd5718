"""What a hook becomes: events with the ways to their accounts; one bad element takes no other with it."""

import json
from typing import Any

import pytest

from schemas.event import rfc3339
from schemas.source import SOURCE_EXAMPLE, SourceIn
from services.ingest.decoding.refusals import Refusal
from services.ingest.identity.whose import Way, Whose
from services.ingest.sources.bodies import read
from services.ingest.sources.expressions import TooCostly
from services.ingest.sources.mapping import Element, MappedEvent, NoAnswer, SourceMapping, TooManyElements

WAY = {"external_id": "org"}


def mapping(*events: dict[str, Any], **more: Any) -> SourceMapping:
    doc = {"name": "desk", "verify": {"scheme": "none"}, "events": list(events), **more}
    return SourceMapping(SourceIn.model_validate(doc))


def mapped(
    body: Any, *events: dict[str, Any], headers: dict[str, str] | None = None, **more: Any
) -> list[Element]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return mapping(*events, **more).elements(read(raw, headers or {}), headers or {}, raw)


def event(found: list[Element]) -> MappedEvent:
    [one] = found
    assert isinstance(one, MappedEvent), one
    return one


def refusal(found: list[Element]) -> tuple[str, str]:
    [one] = found
    assert isinstance(one, Refusal)
    return str(one.code), one.field


def test_the_example_of_the_contract() -> None:
    body = {
        "id": "evt_1", "type": "invoice.payment_failed", "created": 1_795_338_000,
        "data": {"object": {"id": "in_1", "customer": "cus_1", "customer_email": "ann@acme.test", "amount_due": 119_900,
                            "currency": "usd"}},
    }  # fmt: skip
    found, whose = event(mapped(body, *SOURCE_EXAMPLE["events"]))
    assert (found.type, found.id, found.source, found.account) == ("payment.failed", "evt_1", "desk", None)
    assert found.time is not None
    assert rfc3339(int(found.time.timestamp()) * 1_000_000) == "2026-11-22T09:00:00Z"
    assert found.data == {"invoice": "in_1", "amount": 1199}
    assert whose == Whose((Way("external_id", "desk", "cus_1"),), contact_email="ann@acme.test")


def test_the_first_whose_when_holds_and_none_is_ignored() -> None:
    events = [
        {"when": "kind == 'a'", "type": "one", "account": WAY},
        {"when": "kind", "type": "two", "account": WAY},
    ]
    found = mapped([{"kind": "a", "org": 1}, {"kind": "b", "org": 2}, {"org": 3}, 4, None], *events)
    assert [one and isinstance(one, MappedEvent) and one.event.type for one in found] == [
        "one",
        "two",
        None,
        None,
        None,
    ]


def test_each_over_a_list_an_object_and_nothing() -> None:
    one = {"type": "x", "account": WAY, "data": {"n": "n", "all": "body().top"}}
    found = mapped({"e": [{"org": 1, "n": 1}, {"org": 2, "n": 2}], "top": "t"}, one, each="e")
    assert [each.event.data for each in found if isinstance(each, MappedEvent)] == [
        {"n": 1, "all": "t"},
        {"n": 2, "all": "t"},
    ]
    assert len(mapped({"e": {"org": 1}}, one, each="e")) == 1
    assert (
        mapped({"e": None}, one, each="e")
        == mapped({}, one, each="e")
        == mapped({"e": []}, one, each="e")
        == []
    )


def test_the_ways_in_order_those_without_a_value_left_out() -> None:
    ways = [
        {"external_id": "org", "system": "crm"}, {"id": "ours", "create": True}, {"email": "mail"}, {"domain": "mail"},
        {"domain": "nothing"},
    ]  # fmt: skip
    one = {"type": "x", "account": ways, "contact": {"id": "user", "email": "mail"}}
    found, whose = event(mapped({"org": 36.0, "ours": "", "mail": "Ann@Acme.test", "user": 7}, one))
    assert whose == Whose(
        (
            Way("external_id", "crm", "36"),
            Way("email", None, "Ann@Acme.test"),
            Way("domain", None, "acme.test"),
        ),
        contact_email="Ann@Acme.test",
    )
    assert found.contact == "7"
    assert event(mapped({"ours": "acme"}, one)).whose == Whose((Way("id", None, "acme"),), create=True)
    assert refusal(mapped({"user": 1}, one)) == ("required", "account")


def test_data_leaves_out_what_is_null() -> None:
    """In an update a null deletes; what the other system does not say is no order to delete."""
    data = {"attributes": {"arr": "arr", "plan": "plan"}, "owner": {"email": "owner.email"}, "name": "name"}
    one = {"type": "account.updated", "account": WAY, "data": data}
    assert event(mapped({"org": 1, "arr": 5}, one)).event.data == {"attributes": {"arr": 5}}
    whole = {"type": "x", "account": WAY, "data": "@"}
    assert event(mapped({"org": 1, "a": None}, whole)).event.data == {"org": 1, "a": None}


def test_without_an_id_the_same_body_gives_the_same_one_and_another_another() -> None:
    one = {"type": "x", "account": WAY, "id": "id"}
    twice = [mapped(b'[{"org": 1}, {"org": 1}]', one) for _ in range(2)]
    ids = [[each.event.id for each in found if isinstance(each, MappedEvent)] for found in twice]
    assert ids[0] == ids[1]
    assert len({*ids[0], event(mapped(b'[{"org": 1} ]', one)).event.id}) == 3
    assert event(mapped({"org": 1, "id": 12}, one)).event.id == "12"


BAD: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({"id": ["x"]}, ("invalid", "id")), ({"id": True}, ("invalid", "id")), ({"id": "x" * 257}, ("length", "id")),
    ({"id": 1.5}, ("invalid", "id")), ({"time": "soon"}, ("time", "time")), ({"time": {}}, ("time", "time")),
    ({"org": {"a": 1}}, ("invalid", "account.external_id")), ({"org": None}, ("required", "account")),
    ({"org": "a\0b"}, ("nul", "account.external_id")), ({"user": [1]}, ("invalid", "contact.id")),
    ({"d": "\ud800"}, ("invalid", "data.d")), ({"d": {"\udcff": 1}}, ("invalid", "data.d")),
    ({"d": float("inf")}, ("invalid", "data.d")), ({"d": "x" * 65_536}, ("event_too_large", "data")),
]  # fmt: skip
MAPPING = {
    "type": "x", "account": WAY, "id": "id", "time": "time", "contact": {"id": "user"}, "data": {"d": "d"},
}  # fmt: skip


@pytest.mark.parametrize(("wrong", "expected"), BAD, ids=repr)
def test_a_bad_element_is_refused_by_its_field_and_takes_no_other_with_it(
    wrong: dict[str, Any], expected: tuple[str, str]
) -> None:
    good = {"org": 1, "id": "a", "time": 1_795_338_000, "user": "u", "d": 1}
    elements = [good, {**good, **wrong}, good]
    found = mapping(MAPPING).elements(elements, {}, b"[]" * 500)
    assert [isinstance(one, MappedEvent) for one in found] == [True, False, True]
    assert refusal(found[1:2]) == expected


def test_data_that_nests_too_deep_is_refused_alone() -> None:
    deep: Any = 1
    for _ in range(45):
        deep = [deep]
    found = mapped([{"org": 1, "d": deep}, {"org": 1, "d": 1}], MAPPING)
    assert refusal(found[:1]) == ("too_deep", "data.d")
    assert isinstance(found[1], MappedEvent)


def test_a_value_that_little_text_stands_for_is_stopped() -> None:
    """`[@, @]` shares its halves: a few steps make what would take gigabytes as JSON."""
    bomb = " | ".join(["[@, @]"] * 30)
    with pytest.raises(TooCostly):
        mapped({"org": 1}, {"type": "x", "account": WAY, "data": {"d": bomb}})


def test_all_elements_share_one_budget() -> None:
    slow = "body()[?body()[?@ == `1`]]"
    with pytest.raises(TooCostly):
        mapped([1] * 200, {"when": slow, "type": "x", "account": WAY})


def test_too_many_elements() -> None:
    one = {"type": "x", "account": WAY}
    assert len(mapped([{"org": 1}] * 500, one)) == 500
    with pytest.raises(TooManyElements):
        mapped([{"org": 1}] * 501, one)


def test_an_answer_made_of_the_body() -> None:
    one = {"type": "x", "account": WAY}
    fields = {"action": "action", "status": "'success'", "of": {"page": "page"}}
    made = mapping(one, answer={"body": fields})
    answer = made.answer({"action": "add", "page": 3}, {}, 10)
    assert answer is not None
    assert json.loads(answer) == {"action": "add", "status": "success", "of": {"page": 3}}
    assert json.loads(made.answer([], {}, 10) or b"") == {"status": "success"}
    assert mapping(one, answer={"body": "ok"}).answer({"action": "add"}, {}, 10) is None
    assert mapping(one).answer({"action": "add"}, {}, 10) is None


@pytest.mark.parametrize("action", ["\ud800", "x" * 10_001, float("inf")])
def test_an_answer_that_cannot_be_made(action: Any) -> None:
    made = mapping({"type": "x", "account": WAY}, answer={"body": {"action": "action"}})
    with pytest.raises(NoAnswer):
        made.answer({"action": action}, {}, 10)


def test_the_answers_of_all_fields_share_one_budget() -> None:
    bomb = " | ".join(["[@, @]"] * 30)
    with pytest.raises(TooCostly):
        mapping({"type": "x", "account": WAY}, answer={"body": {"d": bomb}}).answer({}, {}, 10)


def test_a_challenge() -> None:
    one = mapping({"type": "x", "account": WAY}, challenge="challenge")
    assert one.challenge({"challenge": "abc"}, {}, 10) == "abc"
    for body in ({}, {"challenge": 1}, {"challenge": ["a"]}, {"challenge": ""}, []):
        assert one.challenge(body, {}, 10) is None
    assert mapping({"type": "x", "account": WAY}).challenge({"challenge": "abc"}, {}, 10) is None
