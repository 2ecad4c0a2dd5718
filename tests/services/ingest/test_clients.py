"""Other people's clients against a live server; and what a hostile one gets."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from segment.analytics.client import Client

from backbone.auth import create_key
from backbone.errors import ConfigurationError
from backbone.log import EVENTS
from backbone.server import bind
from backbone.settings import load_settings
from schemas.event import Event, decode
from services.embedded import House, running


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, str, str]]:
    folder: Path = tmp_path_factory.mktemp("live")
    settings = load_settings(data_dir=folder, port=0, header_timeout=0.3, body_timeout=0.3)
    with running(settings, ["ingest"]) as (rooms, url):
        yield rooms, url, create_key(rooms.db, rooms.clock, "client", ["events:write"])


def logged(rooms: House, source: str) -> list[Event]:
    found = []
    for number in range(rooms.log.partitions):
        for record in rooms.log.read(EVENTS, number, rooms.log.start_offsets(EVENTS)[number]):
            event = decode(record.value, place="", timestamp=0)
            if event.source == source:
                found.append(event)
    return found


@pytest.mark.parametrize("gzip", [False, True])
def test_segment_analytics_python(live: tuple[House, str, str], gzip: bool) -> None:
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


def test_the_cloudevents_sdk(live: tuple[House, str, str]) -> None:
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


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", 408),
        (b"GET /healthz HTTP/1.1\r\nx: ", 408),
        (b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc", 408),
        (b"GET /healthz HTTP/1.1\r\nx: " + b"a" * 70_000, 431),
        (b"NONSENSE\r\n\r\n", 400),
    ],
)
def test_slow_and_broken_requests_are_ended(live: tuple[House, str, str], sent: bytes, status: int) -> None:
    answer = exchange(live[1], sent)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"application/problem+json" in answer


def test_too_much_is_refused_before_it_is_read(live: tuple[House, str, str]) -> None:
    head = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-length: 2000000\r\n\r\n"
    assert exchange(live[1], head).startswith(b"HTTP/1.1 413 ")
    endless = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    assert exchange(live[1], endless + piece * 17).startswith(b"HTTP/1.1 413 ")


def test_a_taken_port_is_one_clear_line(live: tuple[House, str, str]) -> None:
    port = int(live[1].rpartition(":")[2])
    with pytest.raises(
        ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"
    ):
        bind(load_settings(port=port))


def test_the_data_folder_serves_one_process(live: tuple[House, str, str]) -> None:
    settings = load_settings(data_dir=live[0].settings.data_dir, port=0)
    with pytest.raises(ConfigurationError), running(settings, ["ingest"]):
        pass
