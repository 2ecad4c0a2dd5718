"""What the libraries of Segment for phones send, recorded: neither Kotlin nor Swift runs here.

Written down from their sources, byte for byte but for the ids and times:

analytics-kotlin 1.13.3 (repository segmentio/analytics-kotlin, below core/src/main/java/com/segment/analytics/kotlin/core):
  HTTPClient.kt at 8d17d377 (and as it is with a RequestFactory, at 03a356f4), utilities/StorageImpl.kt at 0afa3cfa (the
  batch around the events), Events.kt at 11e7b92a, platform/plugins/SegmentDestination.kt at 11e7b92a, Constants.kt at 8ba64d46
analytics-swift 1.4.7 (repository segmentio/analytics-swift, below Sources/Segment):
  Utilities/Networking/HTTPClient.swift at 8b198c6c, Utilities/Storage/Types/DirectoryStore.swift at 28426180 (the batch
  around the events), Version.swift at c8fd5fdf
"""

import gzip
from collections.abc import AsyncIterator, Callable

import pytest

from schemas.event import Event
from tests.services.ingest.kit import Kit

# ruff: noqa: E501  as it is sent
Library = Callable[[str, str], tuple[dict[str, str], bytes]]
# It is 2026-11-22T09:00:00Z. What happened did so ten minutes ago.
KOTLIN_EVENTS = (
    (
        '{"type":"identify","userId":"ann","traits":{"email":"ann@acme.test","name":"Ann Lee"},'
        '"messageId":"5f7d2a51-0001-4c1e-9f0e-6a3f3f1f0001","anonymousId":"7a1d0c5e-6a6c-4f0f-8b0a-2f9d8f1c0001","integrations":{},'
        '"context":{"library":{"name":"analytics-kotlin","version":"1.13.3"},"instanceId":"1c9d","os":{"name":"Android","version":"14"},'
        '"locale":"en-US","timezone":"Europe/Berlin"},"timestamp":"2026-11-22T08:50:00.000Z"}'
    ),
    (
        '{"type":"group","groupId":"acme","traits":{"name":"Acme","plan":"pro"},"userId":"ann",'
        '"messageId":"5f7d2a51-0002-4c1e-9f0e-6a3f3f1f0002","anonymousId":"7a1d0c5e-6a6c-4f0f-8b0a-2f9d8f1c0001","integrations":{},'
        '"context":{"library":{"name":"analytics-kotlin","version":"1.13.3"}},"timestamp":"2026-11-22T08:50:00.100Z"}'
    ),
    (
        '{"type":"track","properties":{"severity":"high"},"event":"Ticket Opened","userId":"ann",'
        '"messageId":"5f7d2a51-0003-4c1e-9f0e-6a3f3f1f0003","anonymousId":"7a1d0c5e-6a6c-4f0f-8b0a-2f9d8f1c0001","integrations":{},'
        '"context":{"library":{"name":"analytics-kotlin","version":"1.13.3"}},"timestamp":"2026-11-22T08:50:00.200Z"}'
    ),
)
SWIFT_EVENTS = (
    (
        '{"anonymousId":"7A1D0C5E-6A6C-4F0F-8B0A-2F9D8F1C0001","context":{"library":{"name":"analytics-swift","version":"1.4.7"}},'
        '"integrations":{},"messageId":"5F7D2A51-0001","timestamp":"2026-11-22T08:50:00.000Z","traits":{"email":"ann@acme.test",'
        '"name":"Ann Lee"},"type":"identify","userId":"ann"}'
    ),
    (
        '{"anonymousId":"7A1D0C5E-6A6C-4F0F-8B0A-2F9D8F1C0001","context":{},"groupId":"acme","integrations":{},'
        '"messageId":"5F7D2A51-0002","timestamp":"2026-11-22T08:50:00.100Z","traits":{"name":"Acme","plan":"pro"},"type":"group",'
        '"userId":"ann"}'
    ),
    (
        '{"anonymousId":"7A1D0C5E-6A6C-4F0F-8B0A-2F9D8F1C0001","context":{},"event":"Ticket Opened","integrations":{},'
        '"messageId":"5F7D2A51-0003","properties":{"severity":"high"},"timestamp":"2026-11-22T08:50:00.200Z","type":"track",'
        '"userId":"ann"}'
    ),
)


def kotlin(key: str, sent_at: str) -> tuple[dict[str, str], bytes]:
    """Gzip in chunks as `text/plain`, the key in the body and nowhere else."""
    body = '{"batch":[' + ",".join(KOTLIN_EVENTS) + f'],"sentAt":"{sent_at}","writeKey":"{key}"}}'
    headers = {
        "content-type": "text/plain",
        "content-encoding": "gzip",
        "user-agent": "analytics-kotlin/1.13.3",
    }
    return headers, gzip.compress(body.encode())


def swift(key: str, sent_at: str) -> tuple[dict[str, str], bytes]:
    """A line an event, as they lie in its file; the key in the body and nowhere else."""
    lines = ['{ "batch": [', SWIFT_EVENTS[0], *(f",{event}" for event in SWIFT_EVENTS[1:])]
    lines.append(f'],"sentAt":"{sent_at}","writeKey":"{key}"}}')
    headers = {
        "content-type": "application/json; charset=utf-8",
        "accept-encoding": "gzip",
        "user-agent": "analytics-ios/1.4.7",
    }
    return headers, "".join(f"{line}\n" for line in lines).encode()


async def upload(kit: Kit, headers: dict[str, str], body: bytes) -> None:
    """As they do it: ask for the settings, then send to the host that these name, at `/b`."""
    ours = (await kit.http.get(f"/v1/projects/{kit.writer}/settings", headers=headers)).json()
    host = ours["integrations"]["Segment.io"]["apiHost"]
    assert {"plan", "edgeFunction", "middlewareSettings", "metrics"} <= ours.keys()
    assert all(
        isinstance(ours[name], dict) for name in ("plan", "edgeFunction", "middlewareSettings", "metrics")
    )

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 100):
            yield body[start : start + 100]

    answer = await kit.http.post(f"http://{host}/b", content=chunks(), headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"success": True})


def said(kit: Kit) -> dict[str, Event]:
    """By type, what is on the log for the account of the group."""
    return {event.type: event for event in kit.events() if event.account == "acme"}


@pytest.mark.parametrize("library", [kotlin, swift])
async def test_a_phones_library(kit: Kit, library: Library) -> None:
    headers, body = library(kit.writer, "2026-11-22T09:00:00.000Z")
    await upload(kit, headers, body)
    found = said(kit)
    ticket, contact, account = found["ticket_opened"], found["contact.updated"], found["account.updated"]
    assert (ticket.contact, str(ticket.time), ticket.data) == (
        "ann", "2026-11-22 08:50:00.200000+00:00", {"severity": "high"},
    )  # fmt: skip
    assert (contact.contact, contact.data["email"], contact.data["name"]) == (
        "ann",
        "ann@acme.test",
        "Ann Lee",
    )
    assert account.data["name"] == "Acme"


@pytest.mark.parametrize("library", [kotlin, swift])
async def test_a_phone_whose_clock_is_nine_days_behind(kit: Kit, library: Library) -> None:
    headers, body = library(kit.writer, "2026-11-22T09:00:00.000Z")
    body = gzip.decompress(body) if headers.get("content-encoding") else body
    body = body.replace(b"2026-11-22T", b"2026-11-13T")
    await upload(kit, headers, gzip.compress(body) if headers.get("content-encoding") else body)
    assert str(said(kit)["ticket_opened"].time) == "2026-11-22 08:50:00.200000+00:00"
