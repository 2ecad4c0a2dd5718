"""What an endpoint asks of its requests: method, headers, authentication, signature, format; and what stays secret."""

import base64
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from services.actions.channels.base import BasicAuth, Target, TargetAuth
from services.actions.channels.webhook.channel import WebhookChannel
from services.actions.channels.webhook.request import CannotBeWritten, hide, request_of
from services.actions.plays.retry_policy import Outcome
from tests.unit.channels.helpers import SECRET, Server, deliver, leased, surroundings
from tests.unit.channels.test_webhook import Scripted

URL = "http://crm.test/"


class Spoken(Scripted):
    """Keeps the request lines too."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") -> None:
        super().__init__(answer)
        self.lines: list[str] = []

    async def __call__(self, reader: Any, writer: Any) -> None:
        self.lines.append((await reader.readuntil(b"\r\n")).decode().strip())
        await super().__call__(reader, writer)


async def sent(
    tmp_path: Path,
    script: Scripted,
    body: Any = None,
    *,
    path: str = "/hook",
    values: Any = None,
    **fields: Any,
) -> Outcome:
    """One webhook to an endpoint with these fields."""
    async with Server(script) as server:
        target = Target(f"http://127.0.0.1:{server.port}{path}", SECRET, **fields)
        channel = WebhookChannel(
            surroundings(tmp_path, lambda _: target, webhook_allowed_networks="127.0.0.0/8")
        )
        try:
            rendered = {"body": body or {"a": 1}, **({} if values is None else {"values": values})}
            return await deliver(channel, leased(channel="webhook", rendered=rendered))
        finally:
            await channel.close()


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_the_method_and_the_headers_are_the_endpoints(tmp_path: Path, method: str) -> None:
    script = Spoken()
    headers = {"X-Api-Key": "k-1234", "user-agent": "Us"}
    outcome = await sent(tmp_path, script, method=method, headers=headers)
    assert outcome.kind == "done"
    assert script.lines == [f"{method} /hook HTTP/1.1"]
    got, body = script.requests[0]
    assert (got["x-api-key"], got["user-agent"]) == ("k-1234", "Us")
    assert "authorization" not in got
    assert Webhook(SECRET).verify(body, got) == {"a": 1}


async def test_a_bearer_token(tmp_path: Path) -> None:
    script = Spoken()
    await sent(tmp_path, script, auth=TargetAuth(bearer="tok/en=="))
    assert script.requests[0][0]["authorization"] == "Bearer tok/en=="


async def test_a_user_name_and_a_password(tmp_path: Path) -> None:
    script = Spoken()
    await sent(tmp_path, script, auth=TargetAuth(basic=BasicAuth("ann", "pä:ss")))
    scheme, _, pair = script.requests[0][0]["authorization"].partition(" ")
    assert (scheme, base64.b64decode(pair).decode()) == ("Basic", "ann:pä:ss")


async def test_unsigned_requests_still_carry_the_id(tmp_path: Path) -> None:
    script = Spoken()
    await sent(tmp_path, script, sign=False)
    got, body = script.requests[0]
    assert got["webhook-id"] == "act_1"
    assert "webhook-signature" not in got
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body, got)


def test_the_places_are_the_endpoints(tmp_path: Path) -> None:
    known = {"wide": Target(URL, SECRET, concurrency=25), "plain": Target(URL, SECRET)}
    channel = WebhookChannel(surroundings(tmp_path, known.get))
    assert [channel.places(name) for name in ("wide", "plain", "gone")] == [25, 10, 10]


def test_a_form() -> None:
    target = Target(URL, SECRET, format="form")
    body = {"To": "+1 555", "n": 2, "yes": True, "none": None, "tag": ["a", "b", None], "inner": {"ü": [1]}}
    request = request_of(target, "act_1", 1, {"body": body})
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.body == b"To=%2B1+555&n=2&yes=true&tag=a&tag=b&inner=%7B%22%C3%BC%22%3A%5B1%5D%7D"


@pytest.mark.parametrize("body", [None, "text", 5, [1], True])
def test_what_is_no_object_is_no_form(body: Any) -> None:
    with pytest.raises(CannotBeWritten):
        request_of(Target(URL, SECRET, format="form"), "act_1", 1, {"body": body})


async def test_what_cannot_be_written_is_not_tried_again(tmp_path: Path) -> None:
    script = Spoken()
    outcome = await sent(tmp_path, script, body=["no", "object"], format="form")
    assert (outcome.kind, outcome.reason, script.requests) == ("permanent", "template_error", [])


async def test_blanks_arrive_as_they_were_filled_in(tmp_path: Path) -> None:
    script = Spoken()
    hostile = "a/../b?c=1#d%2e é+&"
    values = {"id": hostile, "action.id": "act_1"}
    headers = {"Idempotency-Key": "{{ action.id }}"}
    outcome = await sent(
        tmp_path, script, path="/companies/{{ id }}/notes?by={{ id }}", values=values, headers=headers
    )
    assert outcome.kind == "done"
    (line,) = script.lines
    path, _, query = line.split(" ")[1].partition("?")
    assert [unquote(part) for part in path.split("/")] == ["", "companies", hostile, "notes"]
    assert parse_qsl(query) == [("by", hostile)]
    assert script.requests[0][0]["idempotency-key"] == "act_1"


@pytest.mark.parametrize(
    "values", [None, {"id": ".."}, {"id": "9", "key": "a\r\nX-Admin: yes"}, {"id": None, "key": "k"}]
)
async def test_a_blank_without_a_fitting_value_sends_nothing(tmp_path: Path, values: Any) -> None:
    script = Spoken()
    outcome = await sent(tmp_path, script, path="/c/{{ id }}", values=values, headers={"X-Key": "{{ key }}"})
    assert (outcome.kind, outcome.reason, script.requests) == ("permanent", "template_error", [])


async def test_a_blank_reaches_no_private_network(tmp_path: Path) -> None:
    async with Server(Spoken()) as server:
        target = Target(f"http://127.0.0.1:{server.port}/{{{{ id }}}}", SECRET)
        channel = WebhookChannel(surroundings(tmp_path, lambda _: target))
        try:
            outcome = await deliver(
                channel, leased(channel="webhook", rendered={"body": {}, "values": {"id": "@crm.test"}})
            )
        finally:
            await channel.close()
        assert (outcome.kind, outcome.reason, server.connections) == ("permanent", "address_refused", 0)


SECRETS = {
    "headers": {"X-Api-Key": "Key s3cr3t/+key", "X-Short": "ok"},
    "auth": TargetAuth(basic=BasicAuth("ann", 'pass"word')),
}


@pytest.mark.parametrize(
    "told",
    ["s3cr3t/+key", r"s3cr3t\/+key", 'pass"word', r"pass\"word", SECRET, SECRET.removeprefix("whsec_"),
     base64.b64encode(b'ann:pass"word').decode()],
)  # fmt: skip
async def test_a_receiver_that_repeats_a_secret_tells_nobody(tmp_path: Path, told: str) -> None:
    text = f'{{"error": "ok, but {told} is wrong"}}'.encode()
    answer = b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)
    outcome = await sent(tmp_path, Spoken(answer), **SECRETS)
    assert outcome.detail == '401 {"error": "ok, but *** is wrong"}'


def test_the_secret_part_of_a_header_with_a_blank_is_hidden_too() -> None:
    target = Target(URL, SECRET, headers={"X-Key": "s3cr3t-{{ action.id }}"})
    assert hide(target, b"s3cr3t-act_1 is unknown") == b"***act_1 is unknown"


def test_nothing_else_is_taken_out_of_an_answer() -> None:
    target = Target(URL, SECRET, **SECRETS)  # type: ignore[arg-type]
    assert hide(target, b"ok, ann: \xff no such thing") == b"ok, ann: \xff no such thing"


def test_a_target_does_not_show_its_secrets() -> None:
    shown = repr(Target(URL, SECRET, **SECRETS))  # type: ignore[arg-type]
    assert "s3cr3t" not in shown
    assert "pass" not in shown.replace("password", "")
    assert SECRET not in shown
    assert "tok" not in repr(TargetAuth(bearer="tok"))
