"""Other people's clients against a live server; and what a hostile one gets."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from segment.analytics.client import Client

from backbone.errors import ConfigurationError
from backbone.log import EVENTS
from backbone.settings import load_settings
from backbone.web.api_keys import create_key
from backbone.web.connection import MAX_AHEAD
from backbone.web.server import bind
from schemas.event import Event, decode
from services.app import Runtime, running


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Runtime, str, str]]:
    folder: Path = tmp_path_factory.mktemp("live")
    settings = load_settings(data_dir=folder, port=0, header_timeout=0.3, body_timeout=0.3)
    with running(settings, ["ingest"]) as (rooms, url):
        yield rooms, url, create_key(rooms.db, rooms.clock, "client", ["events:write"])


def logged(rooms: Runtime, source: str) -> list[Event]:
    found = []
    for number in range(rooms.log.partitions):
        for record in rooms.log.read(EVENTS, number, rooms.log.start_offsets(EVENTS)[number]):
            event = decode(record.value, place="", timestamp=0)
            if event.source == source:
                found.append(event)
    return found


@pytest.mark.parametrize("gzip", [False, True])
def test_segment_analytics_python(live: tuple[Runtime, str, str], gzip: bool) -> None:
    rooms, url, key = live
    failed: list[Any] = []
    user = f"user-{gzip}"
    client = Client(
        key, host=url, gzip=gzip, on_error=lambda error, items: failed.append(error), max_retries=1
    )
    client.group(user, "acme", {"plan": "pro"})
    client.identify(user, {"email": "ann@acme.test"})
    client.track(user, "Ticket Opened", {"severity": "high"})
    client.page(user, "Docs", "Pricing")
    client.screen(user, "App", "Home")
    client.alias("anon", user)
    client.flush()
    client.join()
    assert failed == []
    mine = [event for event in logged(rooms, "segment") if event.contact == user]
    assert [event.type for event in mine] == [
        "account.updated",
        "contact.updated",  # the group call makes the user a contact
        "contact.updated",
        "ticket_opened",
        "page",
        "screen",
    ]
    assert {event.account for event in mine} == {"acme"}
    assert mine[3].data == {"severity": "high"}


def test_the_cloudevents_sdk(live: tuple[Runtime, str, str]) -> None:
    rooms, url, key = live
    for number, convert in enumerate((to_structured_event, to_binary_event)):
        attributes = {"id": f"sdk-{number}", "source": "sdk", "type": "a.b", "account": "Müller AG"}
        message = convert(CloudEvent(attributes | {"specversion": "1.0"}, {"n": number}))
        headers = {**message.headers, "authorization": f"Bearer {key}"}
        answer = httpx.post(f"{url}/v1/events", content=message.body, headers=headers)
        assert answer.status_code == 202, answer.text
    events = logged(rooms, "sdk")
    assert [(event.id, event.account, event.data) for event in events] == [
        ("sdk-0", "Müller AG", {"n": 0}),
        ("sdk-1", "Müller AG", {"n": 1}),
    ]


def exchange(url: str, sent: bytes) -> bytes:
    """What comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=10) as connection:
        connection.sendall(sent)
        got = b""
        while piece := connection.recv(65_536):
            got += piece
        return got


POST = b"POST /v1/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
KEY = b"authorization: Bearer %KEY%\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
REFUSED = {
    "nothing": (b"", 408),
    "half a header": (b"GET /healthz HTTP/1.1\r\nx: ", 408),
    "half a body": (POST + KEY + b"content-length: 10\r\n\r\nabc", 408),
    "half a body without a key": (POST + b"content-length: 10\r\n\r\nabc", 401),
    "a long header": (b"GET /healthz HTTP/1.1\r\nx: " + b"a" * 70_000, 431),
    "many headers": (b"GET /healthz HTTP/1.1\r\n" + b"a: b\r\n" * 150, 431),
    "blank lines for ever": (b"\r\n" * 50_000, 431),
    "no HTTP": (b"NONSENSE\r\n\r\n", 400),
    "many trailers": (POST + KEY + CHUNKED + b"0\r\n" + b"a:\r\n" * 40, 431),
    "a long trailer": (POST + KEY + CHUNKED + b"0\r\na: " + b"b" * 400_000, 413),
    "many small chunks": (POST + KEY + CHUNKED + b"1\r\n \r\n" * 20_001, 413),
    "long chunk extensions": (POST + KEY + CHUNKED + (b"1;a=" + b"b" * 9_000 + b"\r\n \r\n") * 40, 413),
    "an endless chunk extension": (POST + KEY + CHUNKED + b"1;a=" + b"b" * 400_000, 413),
    "a long body": (POST + KEY + b"content-length: 2000000\r\n\r\n", 413),
    "an endless body": (POST + KEY + CHUNKED + (b"10000\r\n" + b"x" * 65_536 + b"\r\n") * 17, 413),
    "a long body without a key": (POST + b"content-length: 2000000\r\n\r\n", 401),
    "an endless body without a key": (POST + CHUNKED + (b"10000\r\n" + b"x" * 65_536 + b"\r\n") * 17, 401),
    "trailers without a key": (POST + CHUNKED + b"0\r\n" + b"a:\r\n" * 100_000, 431),
    "a bad encoding without a key": (POST + b"content-encoding: br\r\ncontent-length: 1\r\n\r\nx", 401),
    "a NUL without a key": (b"GET /v1/status?a=%00 HTTP/1.0\r\n\r\n", 401),
    "another's key": (POST + b"authorization: Bearer tl_x\r\ncontent-length: 2000000\r\n\r\n", 401),
}


@pytest.mark.parametrize("name", REFUSED)
def test_slow_and_broken_requests_are_ended(live: tuple[Runtime, str, str], name: str) -> None:
    sent, status = REFUSED[name]
    answer = exchange(live[1], sent.replace(b"%KEY%", live[2].encode()))
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"application/problem+json" in answer
    assert answer.count(b"HTTP/1.1 ") == 1


def test_what_is_within_the_limits_is_taken(live: tuple[Runtime, str, str]) -> None:
    rooms, url, key = live
    event = b'{"type": "a", "account": "b", "id": "framed", "source": "framed"}'
    for number, framed in enumerate(
        (
            b"".join(b"1;a=b\r\n%c\r\n" % byte for byte in event) + b"0\r\n" + b"a: b\r\n" * 32 + b"\r\n",
            b"%x\r\n%b\r\n" % (len(event), event) + b"1\r\n \r\n" * 19_000 + b"0\r\n\r\n",
        )
    ):
        head = POST + KEY.replace(b"%KEY%", key.encode()) + b"x: y\r\n" * 90
        assert exchange(url, head + CHUNKED + framed).startswith(b"HTTP/1.1 202 "), number
    assert len(logged(rooms, "framed")) == 2


def test_trailers_are_no_headers(live: tuple[Runtime, str, str]) -> None:
    """Neither of their own request nor of the next one on the line."""
    _, url, key = live
    stolen = b"authorization: Bearer " + key.encode()
    first = POST.replace(b"connection: close\r\n", b"") + CHUNKED + b"0\r\n" + stolen + b"\r\n\r\n"
    answers = exchange(url, first + POST + b"content-length: 0\r\n\r\n")
    assert answers.count(b"HTTP/1.1 401 ") == 2


def test_requests_sent_ahead_are_few(live: tuple[Runtime, str, str]) -> None:
    """Those that fit are answered; then the connection ends, so that the others are known not to be done."""
    answers = exchange(live[1], b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n" * 8)
    assert answers.count(b"HTTP/1.1 200 ") == 1 + MAX_AHEAD
    assert b"connection: close" in answers


def test_a_broken_request_does_not_cut_the_answer_before_it(live: tuple[Runtime, str, str]) -> None:
    answers = exchange(live[1], b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\nNONSENSE\r\n\r\n")
    head, _, body = answers.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert json.loads(body)["openapi"]


def test_whoever_sends_too_much_sees_the_answer(live: tuple[Runtime, str, str]) -> None:
    """Also a client that looks only once it has sent everything: the line is not reset under its hands."""
    body = b" " * 1_000_000
    for key, status in (("", 401), ("tl_unknown", 401), (live[2], 403)):
        headers = {"authorization": f"Bearer {key}"} if key else {}
        assert httpx.post(f"{live[1]}/v1/clock", content=body, headers=headers).status_code == status


def test_a_taken_port_is_one_clear_line(live: tuple[Runtime, str, str]) -> None:
    port = int(live[1].rpartition(":")[2])
    with pytest.raises(
        ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"
    ):
        bind(load_settings(port=port))


def test_the_data_folder_serves_one_process(live: tuple[Runtime, str, str]) -> None:
    settings = load_settings(data_dir=live[0].settings.data_dir, port=0)
    with pytest.raises(ConfigurationError), running(settings, ["ingest"]):
        pass
