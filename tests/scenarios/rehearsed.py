"""Rehearsals over what a real server has decided, and what they ought to say: counted from its plays and actions."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import httpx

from tests.e2e.server import items
from tests.e2e.stack import until

WAIT_S = 120.0


def rehearsed(client: httpx.Client, playbook: str, end: datetime) -> dict[str, Any]:
    """The rehearsal of a playbook over all its triggers, up to `end`."""
    triggers = [one for one in items(client, "/v1/triggers") if one["playbook"] == playbook]
    body = {"playbook": playbook, "triggers": triggers, "until": end.isoformat()}
    answer = client.post("/v1/rehearsals", json=body)
    assert answer.status_code == 202, answer.text
    place = answer.headers["Location"]
    until("the rehearsal is done", lambda: client.get(place).json()["status"] in {"done", "failed"}, WAIT_S)
    found: dict[str, Any] = client.get(place).json()
    assert found["status"] == "done", found["error"]
    client.delete(place).raise_for_status()
    for sample in found["samples"]:  # its links lead to the port of this server
        assert sample.pop("text")
        assert sample.pop("html")
    return {name: one for name, one in found.items() if name not in {"id", "created_at"}}


def expected(found: dict[str, Any], playbook: str) -> dict[str, Any]:
    """What the rehearsal ought to count, from the server's own plays, actions and tasks by their ids."""
    plays = [play for play in found["plays"].values() if play["playbook"] == playbook]
    mine = {play["id"] for play in plays}
    done = [one for one in found["actions"].values() if one["play"] in mine and one["status"] == "done"]
    done = [one for one in done if one["reason"] != "task_updated"]
    statuses = Counter(play["status"] for play in plays)
    mails = Counter(one["recipient"] for one in done if one["channel"] == "email")
    tasks = Counter(one["recipient"] for one in done if one["channel"] == "task")
    days = Counter((one["due_at"][:10], one["channel"]) for one in done)
    return {
        "plays": len(plays),
        "by_status": dict(statuses),
        "skipped": dict(Counter(play["reason"] for play in plays if play["status"] == "skipped")),
        "actions": {
            one: sum(n for (_, c), n in days.items() if c == one) for one in ("email", "task", "webhook")
        },
        "by_day": [
            {"day": day, **{one: days[day, one] for one in ("email", "task", "webhook")}}
            for day in sorted({day for day, _ in days})
        ],
        "people": len(mails),
        "most": max(mails.values(), default=0),
        "tasks": dict(tasks),
    }


def said(report: dict[str, Any]) -> dict[str, Any]:
    """The rehearsal's report in the form of `expected`."""
    for row in report["assignees"]:
        monday = datetime.fromisoformat(row["busiest_week"])
        days = {str((monday + timedelta(days=n)).date()) for n in range(7)}
        assert row["tasks_that_week"] <= sum(day["task"] for day in report["by_day"] if day["day"] in days)
    same = ("plays", "by_status", "skipped", "actions", "by_day")
    return {
        **{name: report[name] for name in same},
        "by_status": {status: number for status, number in report["by_status"].items() if number},
        "people": report["recipients"]["people"],
        "most": report["recipients"]["most"],
        "tasks": {row["assignee"]: row["tasks"] for row in report["assignees"]},
    }
