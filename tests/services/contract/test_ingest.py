"""Contract, sections 2 and 3: what is taken, and how a refusal reads."""

from typing import Any

import httpx
import pytest

from schemas.event import Malformed, decode

EVENT = {"type": "ticket", "account": "acme"}
NULLS = dict.fromkeys(("id", "source", "specversion", "time", "contact", "data", "historical"))


def refusal(answer: httpx.Response) -> dict[str, Any]:
    """The one refusal of an answer that accepted nothing."""
    body = answer.json()
    assert (answer.status_code, body["accepted"]) == (422, 0), answer.text
    (rejected,) = body["rejected"]
    error: dict[str, Any] = rejected["error"]
    assert set(error) == {"code", "field", "message"}
    return {**rejected, **error}


def test_attributes_that_are_null_count_as_left_out(api: httpx.Client) -> None:
    assert api.post("/v1/events", json={**EVENT, **NULLS}).status_code == 202
    assert api.post("/v1/events", json=[{**EVENT, **NULLS}] * 2).json()["accepted"] == 2
    assert refusal(api.post("/v1/events", json={**EVENT, "type": None}))["field"] == "type"


def test_null_attributes_on_the_topic() -> None:
    value = b'{"type":"a","account":"acme","id":null,"source":null,"time":null,"data":{"x":null}}'
    event = decode(value, place="touchline.events/0/7", timestamp=0)
    assert (event.id, event.source, event.data) == ("touchline.events/0/7", "api", {"x": None})


def test_an_empty_id_is_refused(api: httpx.Client) -> None:
    assert refusal(api.post("/v1/events", json={**EVENT, "id": ""}))["field"] == "id"
    assert api.post("/v1/events", json={**EVENT, "data": {"id": ""}}).status_code == 202


@pytest.mark.parametrize(
    ("more", "field", "named"),
    [
        ({"account": "ac\0me"}, "account", "7"),
        ({"data": {"a": ["\0"]}}, "data", "7"),
        ({"data": {"\0": 1}}, "data", "7"),
        ({"id": "7\0"}, "id", None),
    ],
)
def test_a_nul_is_refused_by_its_field(
    api: httpx.Client, more: dict[str, Any], field: str, named: str | None
) -> None:
    found = refusal(api.post("/v1/events", json={**EVENT, "id": "7", **more}))
    assert (found["code"], found["field"], found["id"]) == ("nul", field, named)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("1", ""),
        ('"text"', ""),
        ('{"events": {}}', "events"),
        ('{"events": [], "more": 1}', "events"),
        ('{"type": 5, "data": {"events": []}}', "type"),
        ('{"type": "a", "account": "acme", "data": ' + "[" * 5000 + "]" * 5000 + "}", "data"),
    ],
)
def test_json_that_is_no_event_is_invalid(api: httpx.Client, body: str, field: str) -> None:
    answer = api.post("/v1/events", content=body, headers={"content-type": "application/json"})
    assert refusal(answer)["field"] == field


def test_an_update_without_data_says_what_data_should_be(api: httpx.Client) -> None:
    for kind in ("account.updated", "contact.updated"):
        found = refusal(api.post("/v1/events", json={**EVENT, "type": kind, "contact": "ann"}))
        assert (found["field"], found["message"]) == ("data", "should be an object")


@pytest.mark.parametrize("body", ["", "{", "nul", "[]x", '{"type": NaN}'])
def test_what_is_not_json_cannot_be_read(api: httpx.Client, body: str) -> None:
    answer = api.post("/v1/events", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "not_json")


@pytest.mark.parametrize("subject", [b"", b',"subject":"acme"', b',"account":null,"subject":"acme"'])
def test_a_record_without_an_account_is_no_event(subject: bytes) -> None:
    """Over Kafka too, a subject is no account: the record goes to the dead letters, with the field."""
    with pytest.raises(Malformed, match="account: is required"):
        decode(b'{"type":"a"%b}' % subject, place="touchline.events/0/7", timestamp=0)


def test_a_mistyped_field_is_told_the_right_one(api: httpx.Client) -> None:
    found = refusal(api.post("/v1/events", json={"type": "ticket", "acount": "acme", "subject": "acme"}))
    assert (found["code"], found["field"]) == ("unknown_field", "acount")
    assert found["message"] == "is no field of an event; did you mean account?"
