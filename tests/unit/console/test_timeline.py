"""The timeline of an account: whatever the lists hold and whatever comes meanwhile, nothing is missing or doubled."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.console.api import ApiError
from services.console.dates import parsed
from services.console.pages import timeline
from services.console.pages.timeline import KINDS, Page, Place, in_order, place_of, query_of, read

T0 = datetime(2026, 3, 1, tzinfo=UTC)
FIELDS = {
    "triggers": "at",
    "plays": "started_at",
    "mails": "due_at",
    "webhooks": "due_at",
    "tasks": "created_at",
}
PATHS = {"/v1/triggers": "triggers", "/v1/plays": "plays", "/v1/tasks": "tasks"}
TICKS = st.integers(0, 12)  # few, so that many happen at one moment


def iso(tick: int) -> str:
    return (T0 + timedelta(microseconds=tick)).isoformat().replace("+00:00", "Z")


class Lists:
    """The five lists by time and the events as they arrived, paged as the API does."""

    def __init__(self, timed: dict[str, list[int]], events: Sequence[int]) -> None:
        self.rows = {
            kind: [{"id": f"{kind}-{n}", FIELDS[kind]: iso(tick)} for n, tick in enumerate(ticks)]
            for kind, ticks in timed.items()
        }
        self.events: list[dict[str, Any]] = []
        for tick in events:
            self.arrive(tick)

    def arrive(self, tick: int) -> None:
        offset = len(self.events)
        self.events.append(
            {
                "id": f"events-{offset}",
                "type": "login",
                "time": iso(tick),
                "position": {"partition": 0, "offset": offset},
            }
        )

    async def get(self, path: str, *_: str, limit: int, cursor: str | None = None, **query: Any) -> Any:
        if path.endswith("/events"):
            below = len(self.events) if cursor is None else int(cursor)
            rows = [one for one in reversed(self.events) if one["position"]["offset"] < below]
            more = str(rows[limit - 1]["position"]["offset"]) if len(rows) > limit else None
            return {"items": rows[:limit], "next_cursor": more}
        kind = PATHS.get(path) or {"email": "mails", "webhook": "webhooks"}[query["channel"]]
        field, start = FIELDS[kind], int(cursor or 0)
        rows = [one for one in self.rows[kind] if parsed(one[field]) < parsed(query["before"])]
        rows.sort(key=lambda one: parsed(one[field]), reverse=True)
        more = str(start + limit) if len(rows) > start + limit else None
        return {"items": rows[start : start + limit], "next_cursor": more}


def a_page(lists: Any, place: Place, kinds: Sequence[str] = KINDS) -> Page:
    return asyncio.run(read(lists, "acme", list(kinds), place))


def through(query: dict[str, str | None]) -> Place:
    """A place as it comes back out of an address."""
    return place_of({name: value for name, value in query.items() if value is not None})


@settings(max_examples=150, deadline=None)
@given(
    timed=st.fixed_dictionaries({kind: st.lists(TICKS, max_size=12) for kind in FIELDS}),
    events=st.lists(TICKS, max_size=14),
    later=st.lists(TICKS, max_size=3),
    size=st.integers(1, 5),
)
def test_every_row_is_shown_once(
    timed: dict[str, list[int]], events: list[int], later: list[int], size: int
) -> None:
    lists = Lists(timed, events)
    before = {row["id"] for rows in [*lists.rows.values(), lists.events] for row in rows}
    seen: list[str] = []
    place, kept = Place(), timeline.SIZE
    timeline.SIZE = size
    try:
        for _ in range(200):
            page = a_page(lists, place)
            assert page.crowded == []
            assert [row.at for row in page.rows] == sorted((row.at for row in page.rows), reverse=True)
            shown = [str(row.item["id"]) for row in page.rows]
            assert shown or page.following is None, "no page is empty but the last"
            seen += shown
            if page.following is None:
                break
            place = through(query_of(page.following))
            for tick in later:  # what comes while somebody reads stands on the first page
                lists.arrive(tick)
    finally:
        timeline.SIZE = kept
    assert len(seen) == len(set(seen))
    assert before <= set(seen)


def test_a_late_event_stands_where_it_came_and_says_so() -> None:
    found = in_order([(event, None) for event in reversed(Lists({}, [1, 5, 2, 6]).events)])
    assert [(one.row.item["id"], one.row.is_late) for one in found] == [
        ("events-3", False), ("events-2", True), ("events-1", False), ("events-0", False),
    ]  # fmt: skip


def test_the_effect_stands_above_its_cause() -> None:
    kinds = [row.kind for row in a_page(Lists({kind: [3] for kind in FIELDS}, [3]), Place()).rows]
    assert kinds == ["tasks", "webhooks", "mails", "plays", "triggers", "events"]


def test_what_fits_on_no_page_is_told() -> None:
    lists = Lists({**{kind: [] for kind in FIELDS}, "tasks": [1] + [5] * (timeline.MOST_AT_ONCE + 200)}, [])
    page = a_page(lists, Place())
    assert page.crowded == ["tasks"]
    assert page.following is not None
    assert [row.item["id"] for row in a_page(lists, page.following).rows] == ["tasks-0"]


def test_touchlines_own_events_are_told_once() -> None:
    lists = Lists({kind: [] for kind in FIELDS}, [1, 2, 3])
    lists.events[0]["type"] = "touchline.email.sent"
    lists.events[1]["type"] = "touchline.email.unsubscribed"
    assert [row.item["id"] for row in a_page(lists, Place()).rows] == ["events-2", "events-1"]
    assert len(a_page(lists, Place(), ["events"]).rows) == 3


def test_what_the_key_may_not_see_is_left_out() -> None:
    class Refusing(Lists):
        async def get(self, path: str, *parts: str, **query: Any) -> Any:
            if path == "/v1/triggers":
                raise ApiError(403, "forbidden", "", "lacks the scope rules:read")
            return await super().get(path, *parts, **query)

    rows = a_page(Refusing({kind: [3] for kind in FIELDS}, []), Place()).rows
    assert [row.kind for row in rows] == ["tasks", "webhooks", "mails", "plays"]


def test_an_odd_place_is_the_beginning() -> None:
    assert place_of({"events": ".x", "before": ""}) == Place()
    assert place_of({"events": "abc.12", "before": "t"}) == Place("t", "abc", 12)
    assert place_of({"events": ".7"}) == Place(None, None, 7)
    assert query_of(Place()) == {"before": None, "events": None}
