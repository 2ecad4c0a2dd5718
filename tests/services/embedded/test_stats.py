"""Counts over the API are those of the lists, also after erasures and merges. What cannot be asked is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from backbone.settings import load_settings
from backbone.web.api_keys import create_key
from services.app import running
from tests.services.embedded.house_kit import House

BERLIN = ZoneInfo("Europe/Berlin")
MOMENT = {
    "triggers": lambda one: one["at"],
    "plays": lambda one: one["started_at"],
    "actions": lambda one: one["done_at"] or one["due_at"],
    "tasks": lambda one: one["created_at"],
}
SPLITS = {
    "triggers": ("rule", "tier"),
    "plays": ("rule", "tier", "status", "reason", "playbook"),
    "actions": ("rule", "tier", "status", "reason", "playbook", "channel"),
    "tasks": ("rule", "tier", "status", "reason", "playbook", "assignee"),
}
STEPS = {
    "high": [{"task": {"title": "Call", "assignee": "Kim@us.test"}}, {"wait": "9d"}],
    "tech": [{"email": {"template": "hi"}}, {"webhook": {"endpoint": "crm"}}],
}
WHEN = {"threshold": {"event": "called", "at_least": 1}}


@pytest.fixture
def house(stores: dict[str, Any], tmp_path: Path) -> Iterator[House]:
    settings = load_settings(data_dir=tmp_path / "data", port=0, partitions=2, clock="log", **stores)
    with running(settings) as (rooms, url):
        key = create_key(rooms.db, rooms.clock, "jo", ["admin"])
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30) as client:
            yield House(rooms, client)


def story(house: House) -> None:
    """Two weeks of calls around the end of winter time, with each tier, and tasks that are done."""
    house.call("PUT", "/v1/templates/hi", json={"subject": "Hi", "markdown": "Hi"})
    house.call("PUT", "/v1/endpoints/crm", json={"url": "https://127.0.0.1:1/"})
    house.call("PUT", "/v1/playbooks/welcome", json={"steps": STEPS})
    more = {"status": "active", "cooldown": "1h"}
    house.call("PUT", "/v1/rules/calls", json={"when": WHEN, "playbook": "welcome", **more})
    house.call("PUT", "/v1/rules/notes", json={"when": WHEN, **more})
    for n in range(6):
        known = {"tier": ("high", "tech")[n % 2], "contacts": [{"id": "a", "email": f"a@x{n}.test"}]}
        house.call("PUT", f"/v1/accounts/a{n}?time=2026-03-20T00:00:00Z", json=known)
    calls = [
        {
            "type": "called",
            "account": f"a{n % 6}",
            "time": f"2026-03-{22 + n // 3}T{(n * 5 + 21) % 24:02}:{n % 60:02}:00Z",
        }
        for n in range(30)
    ]
    house.call("POST", "/v1/events", json=sorted(calls, key=lambda one: one["time"]))
    house.settle()
    house.call("POST", "/v1/tasks", json={"title": "By hand", "assignee": "lee@us.test"})
    (first, *_) = listed(house, "tasks", status="open", playbook="welcome")
    house.call("POST", f"/v1/tasks/{first['id']}/complete", json={})
    house.settle()


def listed(house: House, kind: str, **asked: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = house.call("GET", f"/v1/{kind}", params={"limit": 1_000, **asked, **cursor})
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


def value(kind: str, one: dict[str, Any], name: str) -> str | None:
    if name == "day":
        return datetime.fromisoformat(MOMENT[kind](one)).astimezone(BERLIN).date().isoformat()
    found: str | None = one[name]
    return found.lower() if name == "assignee" and found else found


def stats(house: House, kind: str, **asked: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = house.call(
        "GET", f"/v1/stats/{kind}", params={"timezone": "Europe/Berlin", **asked}
    )["items"]
    return items


def hold_against_lists(house: House) -> dict[str, int]:
    for kind, splits in SPLITS.items():
        rows = listed(house, kind)
        for by in (
            ["day"],
            *([one] for one in splits),
            list(splits),
            ["day", *splits],
            ["status", "day"][kind == "triggers" :],
        ):
            counted = Counter(tuple(value(kind, one, name) for name in by) for one in rows)
            found = stats(house, kind, by=",".join(by))
            assert [list(one) for one in found] == [[*by, "n"]] * len(found)
            assert {tuple(one[name] for name in by): one["n"] for one in found} == counted, (kind, by)
        moments = sorted({MOMENT[kind](one) for one in rows})
        for after, before in pairwise([moments[0], moments[len(moments) // 2], moments[-1]]):
            between = [one for one in rows if after < MOMENT[kind](one) < before]
            assert stats(house, kind, after=after, before=before) == [{"n": len(between)}], (
                kind,
                after,
                before,
            )
    return {kind: stats(house, kind)[0]["n"] for kind in SPLITS}


def test_counts_are_those_of_the_lists(house: House) -> None:
    story(house)
    before = hold_against_lists(house)
    assert before["triggers"] == 60
    assert before["plays"] == 30
    assert before["tasks"] == 4
    house.call("POST", "/v1/events", json={"type": "account.deleted", "account": "a2"})
    house.call("POST", "/v1/events", json={"type": "account.merged", "account": "a3", "data": {"into": "a5"}})
    house.settle()
    after = hold_against_lists(house)
    assert after["triggers"] == 50
    assert after["tasks"] < before["tasks"]


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with running(load_settings(data_dir=tmp_path_factory.mktemp("data"), port=0)) as (rooms, url):
        keyed = {"authorization": f"Bearer {rooms.new_admin_key}"}
        with httpx.Client(base_url=url, headers=keyed, timeout=30) as client:
            yield House(rooms, client)


def test_nothing_is_nothing(quiet: House) -> None:
    for kind in SPLITS:
        assert quiet.call("GET", f"/v1/stats/{kind}") == {"items": [{"n": 0}]}
        assert quiet.call("GET", f"/v1/stats/{kind}?by=day") == {"items": []}


@pytest.mark.parametrize(
    ("asked", "field", "words"),
    [
        ("triggers?by=status", "by", "triggers cannot be split by 'status'; allowed: day, rule, tier"),
        ("triggers?by=day,", "by", "triggers cannot be split by ''; allowed: day, rule, tier"),
        ("plays?by=channel", "by", "plays cannot be split by 'channel'; allowed: day, rule, tier, status"),
        ("plays?by=assignee", "by", "allowed: day, rule, tier, status, reason, playbook"),
        ("actions?by=assignee", "by", "allowed: day, rule, tier, status, reason, playbook, channel"),
        ("tasks?by=channel", "by", "allowed: day, rule, tier, status, reason, playbook, assignee"),
        ("tasks?by=Day", "by", "cannot be split by 'Day'"),
        ("tasks?by=day,rule,day", "by", "has day twice"),
        ("tasks?by=day&by=rule", "by", "may be given only once"),
        ("tasks?by=", "by", ""),
        ("tasks?by=day&timezone=Mars/Olympus", "timezone", "should be an IANA name such as Europe/Berlin; there is no"),
        ("tasks?timezone=", "timezone", ""),
        ("tasks?after=2026-03-01", "after", "RFC 3339"),
        ("tasks?before=yesterday", "before", "RFC 3339"),
        ("tasks?rule=calls", "rule", "is not a known query parameter"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(quiet: House, asked: str, field: str, words: str) -> None:
    answer = quiet.client.get(f"/v1/stats/{asked}")
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert words in error["message"], error


def test_there_is_nothing_else_to_count(quiet: House) -> None:
    assert quiet.client.get("/v1/stats/accounts").status_code == 404


def test_who_may_read_the_rows_may_count_them(quiet: House) -> None:
    for scope, open_ in (("rules:read", {"triggers"}), ("actions:read", {"plays", "actions", "tasks"})):
        key = create_key(quiet.rooms.db, quiet.rooms.clock, scope, [scope])
        for kind in SPLITS:
            answer = quiet.client.get(f"/v1/stats/{kind}", headers={"authorization": f"Bearer {key}"})
            assert answer.status_code == (200 if kind in open_ else 403), (scope, kind)
