"""Names of types: what somebody else calls a thing is renamed at every door, before anything else looks at it."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from backbone.settings import load_settings
from services.app import running
from tests.services.ingest.kit import Kit

ALIASES = {"account_signed_up": "account.signed_up", "ticket.created": "ticket.opened"}


async def put(kit: Kit, aliases: Any, **headers: str) -> httpx.Response:
    sent = {"authorization": f"Bearer {kit.admin}", **headers}
    return await kit.http.put("/v1/aliases", json={"aliases": aliases}, headers=sent)


async def get(kit: Kit) -> httpx.Response:
    return await kit.http.get("/v1/aliases", headers={"authorization": f"Bearer {kit.admin}"})


async def test_every_door_renames(kit: Kit) -> None:
    assert (await put(kit, ALIASES)).status_code == 200
    one = {"type": "account_signed_up", "account": "acme"}
    assert (await kit.post("/v1/events", one)).status_code == 202
    assert (await kit.post("/v1/events", [one, {"type": "x", "account": "acme"}])).status_code == 202
    binary = {"ce-type": "ticket.created", "ce-account": "acme", "ce-id": "7"}
    assert (await kit.post("/v1/events", content=b"{}", headers=binary)).status_code == 202
    track = {"userId": "ann", "event": "Account Signed Up", "type": "track"}
    assert (await kit.segment("/v1/track", track)).status_code == 200
    assert (await kit.segment("/v1/batch", {"batch": [track]})).status_code == 200
    assert sorted(event.type for event in kit.events()) == sorted(
        [*["account.signed_up"] * 4, "x", "ticket.opened"]
    )


async def test_the_answer_to_a_change_is_the_moment_it_holds(kit: Kit) -> None:
    event = {"type": "a", "account": "acme"}
    for name in ("b", "c", "d"):
        await put(kit, {"a": name})
        await kit.post("/v1/events", event)
    await put(kit, {})
    await kit.post("/v1/events", event)
    assert [one.type for one in kit.events()] == ["b", "c", "d", "a"]


async def test_it_is_a_document_with_versions(kit: Kit) -> None:
    first = await get(kit)
    assert (first.json(), first.headers["etag"]) == ({"aliases": {}, "version": 0}, '"0"')
    made = await put(kit, ALIASES, **{"if-match": '"0"'})
    assert (made.status_code, made.headers["etag"]) == (200, '"1"')
    assert made.json() == (await get(kit)).json()
    assert (made.json()["aliases"], made.json()["version"], made.json()["changed_by"]) == (
        ALIASES,
        1,
        "admin",
    )
    assert (await put(kit, {}, **{"if-match": '"0"'})).status_code == 412
    assert (await put(kit, {}, **{"if-match": '"1"'})).json()["aliases"] == {}
    back = await kit.http.put(
        "/v1/aliases", json=made.json(), headers={"authorization": f"Bearer {kit.admin}"}
    )
    assert (back.status_code, back.json()["version"]) == (200, 3)  # what GET showed may be written back
    for method, key in (("get", kit.writer), ("put", kit.writer)):
        answer = await kit.http.request(
            method, "/v1/aliases", json={"aliases": {}}, headers={"authorization": f"Bearer {key}"}
        )
        assert answer.status_code == 403


@pytest.mark.parametrize(
    ("aliases", "field"),
    [
        ({"signed_up": "account.updated"}, "aliases.signed_up"),
        ({"signed_up": "account.merged"}, "aliases.signed_up"),
        ({"signed_up": "touchline.email.sent"}, "aliases.signed_up"),
        ({"account.updated": "x"}, "aliases.account.updated"),
        ({"touchline.email.sent": "x"}, "aliases.touchline.email.sent"),
        ({"a": ""}, "aliases.a"),
        ({"a": "x" * 257}, "aliases.a"),
        ({"a": 5}, "aliases.a"),
        ({"a": "b", "b": "c"}, "aliases.a"),
        ({"a": "a"}, "aliases.a"),
        ({f"n{n}": "x" for n in range(1_001)}, "aliases"),
        ([], "aliases"),
    ],
)
async def test_what_is_no_alias(kit: Kit, aliases: Any, field: str) -> None:
    answer = await put(kit, aliases)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
    assert (await get(kit)).json()["aliases"] == {}


async def test_what_is_reserved_stays_refused_whatever_it_was_called(kit: Kit) -> None:
    """A renamed type is looked at like any other."""
    await put(kit, {"gone": "account_gone"})
    answer = await kit.post("/v1/events", {"type": "account.deleted", "account": "acme"})
    assert answer.status_code == 403


def test_another_process_renames_within_a_second(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    alike = {"port": 0, "partitions": 1, "database_url": url, "secret_key": "sixteen letters!!"}
    doors = [load_settings(data_dir=tmp_path / name, **alike) for name in "ab"]
    with ExitStack() as stack:
        (_, here), (there, other) = [stack.enter_context(running(one, ["ingest"])) for one in doors]
        key = {"authorization": f"Bearer {(tmp_path / 'a' / 'admin.key').read_text().strip()}"}
        http = stack.enter_context(httpx.Client(headers=key, timeout=30))
        event = {"type": "a", "account": "acme"}
        assert http.post(f"{other}/v1/events", json=event).status_code == 202
        assert http.put(f"{here}/v1/aliases", json={"aliases": {"a": "b"}}).status_code == 200
        deadline = time.monotonic() + 10
        while (
            there.log.read("touchline.events", 0, there.log.end_offsets("touchline.events")[0] - 1)[
                0
            ].value.count(b'"b"')
            == 0
        ):
            assert time.monotonic() < deadline
            assert http.post(f"{other}/v1/events", json=event).status_code == 202
