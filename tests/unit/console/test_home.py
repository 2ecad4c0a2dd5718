"""`/`: what needs a person, in words and with links; the charts; the switch that stops all sending."""

import asyncio
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from schemas.attention import AttentionKind
from services.console.frame import Frames, counts_of, page_of
from services.console.pages.home import fired, gone_out, lines_of
from tests.unit.console.world import World

BERLIN = ZoneInfo("Europe/Berlin")
SINCE = "2026-03-09T08:00:00Z"


def item(kind: str, count: int = 2, link: str = "/v1/actions?status=failed") -> dict[str, Any]:
    return {"kind": kind, "count": count, "oldest": SINCE, "link": link}


@pytest.mark.parametrize("kind", [kind.value for kind in AttentionKind if kind != AttentionKind.SENDING_OFF])
def test_every_kind_has_words(kind: str) -> None:
    one, many = lines_of([item(kind, 1)])[0].text, lines_of([item(kind, 1_200)])[0].text
    assert one.startswith("1 ")
    assert many.startswith("1,200 ")
    assert kind == "behind" or "_" not in one


def test_a_line_leads_to_what_it_counts() -> None:
    assert page_of("/v1/actions?reason=awaiting_approval") == "/deliveries?reason=awaiting_approval"
    assert page_of("/v1/plays?status=held") == "/plays?status=held"
    assert page_of("/v1/unmatched") == "/settings/unmatched"
    assert page_of("/v1/strange?x=1") == "/"


def test_mails_to_assignees_are_told_apart_from_deliveries() -> None:
    found = lines_of(
        [item("failed", 1), item("failed", 2, "/v1/task-mails/deliveries?status=failed&after=x")]
    )
    assert [one.text for one in found] == [
        "1 delivery failed in the last 7 days", "2 mails to assignees failed in the last 7 days",
    ]  # fmt: skip
    assert found[1].path == "/settings/task-mails/deliveries?status=failed&after=x"
    assert counts_of([item("failed", 2, "/v1/task-mails/deliveries?status=failed")]) == {"Settings": 2}


def test_counts_stand_in_the_navigation() -> None:
    items = [
        item("failed"),
        item("uncertain", 3),
        item("held", 4, "/v1/plays?status=held"),
        item("sending_off", 9),
    ]
    assert counts_of(items) == {"Deliveries": 5, "Playbooks": 4}


def test_while_sending_is_off_every_page_says_so() -> None:
    off = {"status": "off", "reason": "wrong <template>", "by": "jo", "at": SINCE}
    world = World({"GET /v1/attention": {"items": [item("sending_off")]}, "GET /v1/sending": off})
    page = world.get("/").text
    assert "Sending is off since" in page
    assert "wrong &lt;template&gt;" in page
    assert "Start sending" in page
    assert "Stop sending" not in page
    assert "No mail and no webhook" in world.get("/settings").text


def test_stopping_and_starting() -> None:
    world = World({"PUT /v1/sending": {}})
    world.post("/sending", status="off", reason=" wrong template ")
    world.post("/sending", status="on", reason="")
    assert [body for _, _, body in world.sent] == [
        {"status": "off", "reason": "wrong template"}, {"status": "on", "reason": None}
    ]  # fmt: skip


def test_a_bar_is_a_day_of_the_reader() -> None:
    """The 29th of March has 23 hours in Berlin."""
    days = ["2026-03-28", "2026-03-29"]
    items = [{"day": "2026-03-29", "tier": "high", "n": 2}, {"day": "2026-03-29", "tier": "low", "n": 1}]
    bars = fired(items, days, BERLIN, None)
    assert [bar.total for bar in bars.bars] == [0, 3]
    assert bars.bars[1].link == (
        "/triggers?after=2026-03-28T22%3A59%3A59.999999Z&before=2026-03-29T22%3A00%3A00Z"
    )


def test_the_chart_of_one_rule_counts_no_other() -> None:
    items = [
        {"day": "2026-03-29", "tier": "high", "n": 2, "rule": "a"},
        {"day": "2026-03-29", "tier": "high", "n": 5, "rule": "b"},
    ]
    assert fired(items, ["2026-03-29"], BERLIN, "a").total == 2


def test_only_what_was_done_counts_as_gone_out() -> None:
    items = [
        {"day": "2026-03-29", "channel": "email", "status": "done", "n": 2},
        {"day": "2026-03-29", "channel": "email", "status": "skipped", "n": 7},
        {"day": "2026-03-29", "channel": "task", "status": "done", "n": 1},
    ]
    assert gone_out(items, ["2026-03-29"], BERLIN).total == 3


def test_the_counts_are_asked_for_in_the_readers_zone() -> None:
    world = World({"GET /v1/stats/triggers": {"items": []}, "GET /v1/stats/actions": {"items": []}}).sign_in()
    world.cookies.set("touchline_zone", "Asia/Kolkata")
    page = world.get("/").text
    asked = world.query("/v1/stats/actions")
    assert asked == {
        "by": "day,channel,status", "timezone": "Asia/Kolkata",
        "after": "2026-02-08T18:29:59.999999Z", "before": "2026-03-10T18:30:00Z",
    }  # fmt: skip
    assert "Take the first steps" in page


def test_without_counters_the_rest_of_the_page_is_there() -> None:
    page = World({"GET /v1/attention": {"items": [item("held", 4, "/v1/plays?status=held")]}}).get("/").text
    assert "4 plays held" in page
    assert "first steps" not in page


def test_what_stands_around_pages_is_asked_for_once_in_a_while_and_after_a_change() -> None:
    clock = [0.0]
    asked: list[str] = []

    class Counting:
        async def get(self, path: str) -> Any:
            asked.append(path)
            return {"items": []}

    async def look(frames: Frames) -> None:
        await frames.of("key", Counting())  # type: ignore[arg-type]

    async def run() -> None:
        frames = Frames(lambda: clock[0])
        await look(frames)
        await look(frames)
        assert len(asked) == 1
        frames.forget("key")
        await look(frames)
        assert len(asked) == 2
        clock[0] = 2.0
        await look(frames)
        assert len(asked) == 3
        await frames.of("another key", Counting())  # type: ignore[arg-type]
        assert len(asked) == 4

    asyncio.run(run())
