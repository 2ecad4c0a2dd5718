"""Segment's calls through the door: who belongs where, merges from outside, keys that may stand in a web page."""

import threading
from concurrent.futures import Future
from typing import Any

import pytest

from backbone.errors import LogUnavailable
from backbone.log import EVENTS
from backbone.web.api_keys import create_key
from schemas.event import Event
from schemas.merging import Merge, merge_of
from tests.services.ingest.kit import NOW, Kit

U = {"userId": "u1", "timestamp": "2026-11-22T08:00:00Z"}
GUIDE = [
    {**U, "type": "identify", "messageId": "m-0", "traits": {"email": "mara@globex.test", "plan": "pro"}},
    {**U, "type": "track", "messageId": "m-1", "event": "Clicked"},
    {**U, "type": "group", "messageId": "m-2", "groupId": "globex", "traits": {"name": "Globex"}},
    {**U, "type": "track", "messageId": "m-3", "event": "Clicked"},
]


@pytest.fixture
def page(kit: Kit) -> str:
    """A key that may stand in a web page."""
    return create_key(kit.rooms.db, kit.rooms.clock, "page", ["track"])


def of_account(kit: Kit, account: str) -> list[Event]:
    return [event for event in kit.events() if event.account == account]


def merges(kit: Kit) -> list[Merge | None]:
    return [merge_of(event) for event in kit.events() if event.type == "account.merged"]


async def test_the_person_is_a_contact_of_the_group_and_the_lone_account_is_merged(kit: Kit) -> None:
    for call in GUIDE:
        await kit.segment(f"/v1/{call['type']}", call)
    assert [event.type for event in of_account(kit, "u1")] == ["contact.updated", "clicked", "account.merged"]
    group, contact, last = of_account(kit, "globex")
    assert (group.type, contact.type, last.id) == ("account.updated", "contact.updated", "m-3")
    assert (contact.contact, contact.data) == (
        "u1",
        {"email": "mara@globex.test", "attributes": {"plan": "pro"}},
    )
    assert contact.time == group.time
    assert merges(kit) == [Merge("u1", "globex", lone=True, contact="u1")]


async def test_a_batch_sent_again_says_the_very_same(kit: Kit) -> None:
    await kit.segment("/v1/batch", {"batch": GUIDE})
    first = {(event.account, event.id): event for event in kit.events()}
    await kit.segment("/v1/group", {**U, "groupId": "elsewhere"})
    before = len(kit.events())
    await kit.segment("/v1/batch", {"batch": GUIDE})
    again = kit.events()
    assert len(again) == before + len(first) - 1  # all but the merge, which is on the log
    assert {
        (event.account, event.id): event for event in again if (event.account, event.id) in first
    } == first
    assert all(event.account in {"u1", "globex", "elsewhere"} for event in again)


async def test_what_did_not_come_to_the_log_is_said_when_it_is_sent_again(kit: Kit) -> None:
    """The memory is written before the log: what followed from the calls must not be lost with an append."""
    log: Any = kit.rooms.log

    class Failing:
        def append(self, *_: Any) -> Future[Any]:
            failed: Future[Any] = Future()
            failed.set_exception(LogUnavailable("away"))
            return failed

    await kit.segment("/v1/track", {"userId": "u1", "event": "Before"})
    kit.rooms.services[0].intake._log = Failing()  # type: ignore[attr-defined]
    assert (await kit.segment("/v1/batch", {"batch": GUIDE})).status_code == 503
    kit.rooms.services[0].intake._log = log  # type: ignore[attr-defined]
    assert [event.type for event in kit.events()] == ["before"]
    await kit.segment("/v1/group", {**U, "groupId": "later", "timestamp": "2026-11-22T08:30:00Z"})
    assert (await kit.segment("/v1/batch", {"batch": GUIDE})).status_code == 200
    assert [event.type for event in of_account(kit, "globex")] == [
        "account.updated",
        "contact.updated",
        "clicked",
    ]
    assert {merge.account for merge in merges(kit) if merge} == {"u1"}


async def test_anonymous_first_and_then_signed_in(kit: Kit) -> None:
    browser = {"anonymousId": "a"}
    await kit.segment("/v1/page", {**browser, "name": "Pricing"})
    await kit.segment("/v1/identify", {**browser, "userId": "u1", "traits": {"email": "mara@globex.test"}})
    await kit.segment("/v1/track", {**browser, "event": "Clicked"})
    await kit.segment("/v1/group", {**browser, "userId": "u1", "groupId": "globex"})
    await kit.segment("/v1/track", {**browser, "event": "Clicked"})
    assert merges(kit) == [
        Merge("a", "u1", lone=True, contact="u1"),
        Merge("u1", "globex", lone=True, contact="u1"),
    ]
    clicked = [(event.account, event.contact) for event in kit.events() if event.type == "clicked"]
    assert sorted(clicked) == [("globex", "u1"), ("u1", "u1")]


async def test_a_refused_call_says_nothing_of_its_user(kit: Kit) -> None:
    wrong = [{**U, "type": "group", "groupId": "evil", "traits": {"name": "\0"}}, GUIDE[1]]
    answer = await kit.segment("/v1/batch", {"batch": wrong})
    assert [error["field"] for error in answer.json()["rejected"]] == ["0.traits"]
    assert [event.account for event in kit.events()] == ["u1"]


async def test_traits_in_the_context_of_a_group_call_are_the_users(kit: Kit) -> None:
    group = {
        **U,
        "groupId": "g",
        "traits": {"plan": "pro"},
        "context": {"traits": {"email": " M@x.test", "role": "cto"}},
    }
    await kit.segment("/v1/group", group)
    made, contact = of_account(kit, "g")
    assert made.data == {"attributes": {"plan": "pro"}}
    assert contact.data == {"email": "M@x.test", "attributes": {"role": "cto"}}


async def test_a_key_for_web_pages_allows_segment_calls_and_nothing_else(kit: Kit, page: str) -> None:
    for call in GUIDE:
        assert (await kit.segment(f"/v1/{call['type']}", call, key=page)).status_code == 200
    assert {(event.source, event.unvouched) for event in kit.events()} == {("segment-public", True)}
    assert merges(kit) == [Merge("u1", "globex", lone=True, contact="u1", unvouched=True)]
    refused = [
        await kit.post("/v1/events", {"type": "a", "account": "b"}, key=page),
        await kit.http.put("/v1/accounts/b", json={}, headers={"authorization": f"Bearer {page}"}),
        await kit.post("/v1/clock", {"time": "2026-12-01T00:00:00Z"}, key=page),
        await kit.http.get("/v1/status", headers={"authorization": f"Bearer {page}"}),
    ]
    assert [answer.status_code for answer in refused] == [403] * 4


async def test_what_a_web_page_sends_moves_nobody_elses_calls(kit: Kit, page: str) -> None:
    await kit.segment("/v1/group", {**U, "groupId": "evil"}, key=page)
    await kit.segment("/v1/track", {**U, "userId": "spy", "anonymousId": "a", "event": "x"}, key=page)
    await kit.segment("/v1/track", {**GUIDE[1], "timestamp": "2020-01-01T00:00:00Z"}, key=page)
    await kit.segment("/v1/track", GUIDE[1])
    await kit.segment("/v1/track", {"anonymousId": "a", "event": "y"})
    mine = [event for event in kit.events() if not event.unvouched]
    assert [(event.account, event.contact, event.type) for event in mine] == [
        ("u1", "u1", "clicked"),
        ("a", None, "y"),
    ]
    assert mine[0].time is not None
    assert mine[0].time.year == 2026
    await kit.segment("/v1/group", {**U, "groupId": "globex"})
    await kit.segment("/v1/track", {**U, "event": "seen"}, key=page)
    assert [event.account for event in kit.events() if event.type == "seen"] == ["globex"], (
        "the page follows the server"
    )


async def test_nobody_says_unvouched_or_lone_from_outside(kit: Kit) -> None:
    for more in ({}, {"specversion": "1.0"}, {"specversion": "1.0", "other": "x"}):
        answer = await kit.post("/v1/events", {"type": "a", "account": "b", "unvouched": True, **more})
        assert [one["error"]["field"] for one in answer.json()["rejected"]] == ["unvouched"]
    headers = {"ce-specversion": "1.0", "ce-type": "a", "ce-account": "b", "ce-unvouched": "true"}
    assert (await kit.post("/v1/events", {}, headers=headers)).status_code == 422
    assert kit.events() == []
    lone = {"type": "account.merged", "account": "a", "data": {"into": "b", "lone": True}}
    answer = await kit.post("/v1/events", lone, key=kit.admin)
    assert [error["field"] for error in answer.json()["errors"]] == ["data.lone"]


def merged(account: str, into: str) -> dict[str, Any]:
    return {"type": "account.merged", "account": account, "data": {"into": into}}


async def test_merges_from_outside_are_checked(kit: Kit) -> None:
    assert (await kit.post("/v1/events", merged("a", "b"))).status_code == 403
    answer = await kit.post(
        "/v1/events", [merged("a", "b"), merged("b", "c"), merged("c", "a")], key=kit.admin
    )
    assert answer.status_code == 202
    [rejected] = answer.json()["rejected"]
    assert (rejected["index"], rejected["error"]["field"]) == (2, "data.into")
    assert (await kit.post("/v1/events", merged("a", "b"), key=kit.admin)).status_code == 202
    assert (await kit.post("/v1/events", merged("a", "x"), key=kit.admin)).status_code == 422
    assert merges(kit) == [Merge("a", "b"), Merge("b", "c"), Merge("a", "b")]


async def test_nothing_is_merged_into_an_erased_account_until_it_is_made_anew(kit: Kit) -> None:
    gone = {"type": "account.deleted", "account": "gone"}
    assert (await kit.post("/v1/events", gone, key=kit.admin)).status_code == 202
    assert (await kit.post("/v1/events", merged("a", "gone"), key=kit.admin)).status_code == 422
    event = {"type": "login", "account": "gone"}
    assert (await kit.post("/v1/events", event)).status_code == 202
    assert (await kit.post("/v1/events", merged("a", "gone"), key=kit.admin)).status_code == 202
    batch = [{**gone, "account": "x"}, merged("b", "x"), {**gone, "account": "y"}, {**event, "account": "y"}]
    answer = await kit.post("/v1/events", batch, key=kit.admin)
    assert [one["index"] for one in answer.json()["rejected"]] == [1]
    assert (await kit.post("/v1/events", merged("b", "x"), key=kit.admin)).status_code == 422
    assert (await kit.post("/v1/events", merged("b", "y"), key=kit.admin)).status_code == 202
    await kit.segment("/v1/track", {"userId": "x", "event": "back"})
    assert (await kit.post("/v1/events", merged("c", "x"), key=kit.admin)).status_code == 202


async def test_an_erased_account_is_merged_into_nothing(kit: Kit) -> None:
    assert (await kit.post("/v1/events", merged("a", "b"), key=kit.admin)).status_code == 202
    await kit.post("/v1/events", {"type": "account.deleted", "account": "a"}, key=kit.admin)
    await kit.post("/v1/events", {"type": "login", "account": "a"})
    assert (await kit.post("/v1/events", merged("b", "a"), key=kit.admin)).status_code == 202


async def test_times_are_those_of_the_first_sending(kit: Kit) -> None:
    """Without a timestamp it is that of receipt; with sentAt, the sender's clock as it was off then."""
    clock: Any = kit.rooms.clock
    await kit.segment("/v1/track", {"userId": "u", "event": "x", "messageId": "1"})
    skewed = {"userId": "u", "event": "x", "messageId": "2", "timestamp": "2026-11-22T12:00:00Z"}
    await kit.segment("/v1/track", {**skewed, "sentAt": "2026-11-22T12:00:00Z"})
    clock.advance(3_600_000_000)
    await kit.segment("/v1/track", {"userId": "u", "event": "x", "messageId": "1"})
    await kit.segment("/v1/track", {**skewed, "sentAt": "2026-11-22T12:30:00Z"})
    times: dict[str, set[float]] = {}
    for event in kit.events():
        assert event.time is not None
        times.setdefault(event.id, set()).add(event.time.timestamp())
    assert times == {"1": {NOW / 1e6}, "2": {NOW / 1e6}}
    assert len(kit.rooms.log.start_offsets(EVENTS)) == 4


async def test_a_database_that_hangs_holds_no_events_up(kit: Kit) -> None:
    """What is erased is asked after the append: an event of our own format needs no database."""
    await kit.post("/v1/events", {"type": "account.deleted", "account": "gone"}, key=kit.admin)
    accounts = kit.rooms.services[0].intake._accounts  # type: ignore[attr-defined]
    asked, let_go = threading.Event(), threading.Event()

    def hang(before: Any) -> Any:
        asked.set()
        let_go.wait(30)
        return before

    accounts._erased._load = hang
    accounts._erased._looked = float("-inf")
    try:
        assert (await kit.post("/v1/events", {"type": "a", "account": "b"})).status_code == 202
        assert asked.is_set()
    finally:
        let_go.set()
    assert (await kit.post("/v1/events", merged("b", "gone"), key=kit.admin)).status_code == 422
