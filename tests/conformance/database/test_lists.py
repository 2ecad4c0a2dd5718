"""Lists under every filter and sort, on both databases: pages joined are the whole list, as a slow oracle gives it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backbone.clock import ManualClock
from backbone.database import Database
from schemas.event import rfc3339
from schemas.profile import Owner, Profile
from schemas.trigger import Position, Trigger
from services.actions.api import plays as api_plays
from services.actions.api import tasks as api_tasks
from services.actions.api.plays import Times
from services.actions.channels.webhook.spec import WebhookSpec
from services.actions.plays.model import ActionDraft, Play, TaskSpec
from services.actions.storage import task_rows
from services.actions.storage.plays import PlayStore
from services.actions.storage.rows import action_row, play_row
from services.actions.storage.status import set_task
from services.actions.tables import actions, plays, tasks
from services.rules.api.accounts import triggers_router
from services.rules.storage import queries
from services.rules.storage.write_set import _stored
from services.rules.tables import triggers
from tests.conformance.database.reading import DAY, NOW, Reader
from tests.migrated import migrated

examples = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
DAYS = st.integers(0, 4)


@pytest.fixture
def reader(db: Database, tmp_path: Path) -> Iterator[Reader]:
    migrated(db)
    made = Reader(db, tmp_path / "log", triggers_router(db))
    yield made
    made.close()


def time(day: int | None) -> str | None:
    return None if day is None else rfc3339(NOW + day * DAY)


def within(moment: int, asked: dict[str, Any]) -> bool:
    """Whether a moment (of a day) lies between `after` and `before`, given as days."""
    after, before = asked.get("after"), asked.get("before")
    return (after is None or moment > after) and (before is None or moment < before)


def newest(rows: list[dict[str, Any]], asked: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """The rows with their numbers, newest first: by their moment where that is asked for."""
    timed = asked["after"] is not None or asked["before"] is not None
    return sorted(enumerate(rows), key=lambda one: (one[1]["at"] if timed else 0, one[0]), reverse=True)


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def ids(prefix: str) -> st.SearchStrategy[list[str] | None]:
    """What may be asked for by id: some that may be there, and one that is not."""
    return optional(
        st.lists(st.sampled_from([*(f"{prefix}_{n}" for n in range(5)), "none"]), min_size=1, max_size=4)
    )


def named(id_: str, asked: dict[str, Any]) -> bool:
    """Whether a row is one that is asked for by its id."""
    return asked["id"] is None or id_ in asked["id"]


LONG = "k" * 1024
TRIGGER = st.fixed_dictionaries(
    {
        "rule": st.sampled_from(["a", "b"]),
        "account": st.sampled_from(["acme", "a/b é"]),
        "tier": st.sampled_from(["high", "low"]),
        "key": optional(st.sampled_from(["", "88", LONG, LONG[:-1] + "x"])),
        "at": DAYS,
    }
)
TRIGGERS_ASKED = st.fixed_dictionaries(
    {
        "limit": st.integers(1, 4),
        "id": ids("trg"),
        "rule": optional(st.sampled_from(["a", "b", "c"])),
        "account": optional(st.sampled_from(["acme", "a/b é"])),
        "tier": optional(st.sampled_from(["high", "low", "tech"])),
        "key": optional(st.sampled_from(["", "88", LONG])),
        "after": optional(DAYS),
        "before": optional(DAYS),
    }
)


@examples
@given(rows=st.lists(TRIGGER, max_size=12), asked=TRIGGERS_ASKED)
def test_triggers(reader: Reader, rows: list[dict[str, Any]], asked: dict[str, Any]) -> None:
    made = [
        Trigger(
            id=f"trg_{n}", rule=row["rule"], rule_version=1, account=row["account"], key=row["key"],
            tier=row["tier"], at=rfc3339(NOW + row["at"] * DAY), reason="absent", position=Position(0, n),
        )
        for n, row in enumerate(rows)
    ]  # fmt: skip
    reader.fill(triggers, [])
    with reader.db.write() as conn:
        queries.save_triggers(conn, [_stored(trigger) for trigger in made])
    wanted = [
        f"trg_{n}"
        for n, row in newest(rows, asked)
        if within(row["at"], asked)
        and named(f"trg_{n}", asked)
        and all(asked[name] in {None, row[name]} for name in ("rule", "account", "tier", "key"))
    ]
    times = {"after": time(asked["after"]), "before": time(asked["before"])}
    assert [one["id"] for one in reader.whole("/v1/triggers", **{**asked, **times})] == wanted


# -- plays, actions and tasks

WORDS = st.sampled_from(["a", "b"])
TIERS = st.sampled_from(["high", "low"])
ACCOUNTS = {"acme": "Jo@us.test", "globex": "kim@US.test", "a/b é": None}
PEOPLE = st.sampled_from(["Jo@us.test", "jo@US.TEST", "kim@us.test", "nobody@us.test"])
COMMON = {
    "account": st.sampled_from(list(ACCOUNTS)),
    "rule": WORDS,
    "playbook": WORDS,
    "tier": TIERS,
    "at": DAYS,
}
COMMON_ASKED = {
    "limit": st.integers(1, 4),
    "account": optional(st.sampled_from([*ACCOUNTS, "none"])),
    "rule": optional(WORDS),
    "playbook": optional(WORDS),
    "tier": optional(TIERS),
    "owner": optional(PEOPLE),
    "after": optional(DAYS),
    "before": optional(DAYS),
}


def fits(row: dict[str, Any], asked: dict[str, Any], *names: str) -> bool:
    """Whether a row is one that is asked for: by what all lists have, and by these fields."""
    same = ("account", "rule", "playbook", "tier", *names)
    owner = ACCOUNTS.get(row["account"])
    return (
        all(asked[name] in {None, row[name]} for name in same)
        and (asked["owner"] is None or (owner or "").lower() == asked["owner"].lower())
        and within(row["at"], asked)
    )


def question(asked: dict[str, Any]) -> dict[str, Any]:
    """The query parameters: days as times."""
    days = {name: time(asked[name]) for name in ("after", "before", "due_before") if name in asked}
    return {**asked, **days}


@pytest.fixture
def actions_reader(db: Database, tmp_path: Path) -> Iterator[Reader]:
    migrated(db)
    times = Times(db, ManualClock(NOW + 2 * DAY), log_clock=False)
    plays_ = api_plays.router(db, ManualClock(NOW), times, 1, lambda: None)
    made = Reader(db, tmp_path / "log", plays_, api_tasks.router(db, times, 1, lambda: None))
    store = PlayStore(0, 1, lambda: conn)
    with db.write() as conn:
        for account, owner in ACCOUNTS.items():
            store.put_profile(Profile(id=account, owner=None if owner is None else Owner(email=owner)))
        store.flush(conn, NOW)
    yield made
    made.close()


PLAY = st.fixed_dictionaries(
    {
        **COMMON,
        "status": st.sampled_from(["open", "exited"]),
        "reason": optional(st.sampled_from(["by_hand", "exit_event"])),
    }
)
PLAYS_ASKED = st.fixed_dictionaries(
    {
        **COMMON_ASKED,
        "id": ids("ply"),
        "status": optional(st.sampled_from(["open", "exited", "skipped"])),
        "reason": optional(st.sampled_from(["by_hand", "completed"])),
    }
)


@examples
@given(rows=st.lists(PLAY, max_size=12), asked=PLAYS_ASKED)
def test_plays(actions_reader: Reader, rows: list[dict[str, Any]], asked: dict[str, Any]) -> None:
    made = [
        Play(
            id=f"ply_{n}", playbook=row["playbook"], playbook_version=1, rule=row["rule"], trigger_id=f"trg_{n}",
            account=row["account"], contact=None, key=None, tier=row["tier"], status=row["status"],
            reason=row["reason"], started_at=NOW + row["at"] * DAY,
        )
        for n, row in enumerate(rows)
    ]  # fmt: skip
    actions_reader.fill(plays, [play_row(play) for play in made])
    found = [(f"ply_{n}", row) for n, row in newest(rows, asked)]
    wanted = [id_ for id_, row in found if named(id_, asked) and fits(row, asked, "status", "reason")]
    assert [one["id"] for one in actions_reader.whole("/v1/plays", **question(asked))] == wanted


CHANNELS = st.sampled_from(["email", "webhook"])
ACTION = st.fixed_dictionaries(
    {
        **COMMON,
        "channel": CHANNELS,
        "play": WORDS,
        "status": st.sampled_from(["done", "failed"]),
        "reason": optional(st.sampled_from(["suppressed", "timeout"])),
        "recipient": optional(st.sampled_from(["Ann@acme.test", "bob@acme.test", "crm"])),
    }
)
ACTIONS_ASKED = st.fixed_dictionaries(
    {
        **COMMON_ASKED,
        "channel": optional(CHANNELS),
        "play": optional(WORDS),
        "status": optional(st.sampled_from(["done", "retrying"])),
        "reason": optional(st.sampled_from(["suppressed", "bounced"])),
        "recipient": optional(st.sampled_from(["ann@ACME.test", "bob@acme.test", "crm"])),
    }
)


def is_for(row: dict[str, Any], wanted: str) -> bool:
    """Addresses compare without regard to case; an endpoint has one name."""
    found = row["recipient"] or ""
    return bool(found == wanted if row["channel"] == "webhook" else found.lower() == wanted.lower())


@examples
@given(rows=st.lists(ACTION, max_size=12), asked=ACTIONS_ASKED)
def test_actions(actions_reader: Reader, rows: list[dict[str, Any]], asked: dict[str, Any]) -> None:
    made = [
        ActionDraft(
            id=f"act_{n}", step="0", contact=None, topic="t", due_at=NOW + row["at"] * DAY,
            spec=WebhookSpec(endpoint="crm", body=None),
            **{name: value for name, value in row.items() if name != "at"},
        )
        for n, row in enumerate(rows)
    ]  # fmt: skip
    actions_reader.fill(actions, [action_row(draft, 0, NOW) for draft in made])
    wanted = [
        f"act_{n}"
        for n, row in newest(rows, asked)
        if fits(row, asked, "play", "channel", "status", "reason")
        and (asked["recipient"] is None or is_for(row, asked["recipient"]))
    ]
    assert [one["id"] for one in actions_reader.whole("/v1/actions", **question(asked))] == wanted


PRIORITIES = ["Urgent", "P0", "high", "p3", "low", "whenever", None]
URGENCY = {"Urgent": 0, "P0": 0, "high": 1, "p3": 3, "low": 3, "whenever": 50, None: 99}
TASK = st.fixed_dictionaries(
    {
        **COMMON,
        "assignee": optional(st.sampled_from(["Jo@us.test", "jo@us.test", "kim@us.test"])),
        "priority": st.sampled_from(PRIORITIES),
        "due": optional(DAYS),
        "status": st.sampled_from(["open", "snoozed", "completed"]),
        "until": DAYS,
    }
)
TASKS_ASKED = st.fixed_dictionaries(
    {
        **COMMON_ASKED,
        "assignee": optional(PEOPLE),
        "priority": optional(st.sampled_from(["Urgent", "high"])),
        "status": optional(st.sampled_from(["open", "snoozed", "completed"])),
        "due_before": optional(DAYS),
        "overdue": optional(st.booleans()),
        "sort": optional(st.sampled_from(["created", "due", "priority"])),
    }
)
TODAY = 2


def shown_status(row: dict[str, Any]) -> str:
    back = row["status"] == "snoozed" and row["until"] <= TODAY
    return "open" if back else str(row["status"])


def task_wanted(row: dict[str, Any], asked: dict[str, Any]) -> bool:
    overdue = shown_status(row) == "open" and row["due"] is not None and row["due"] < TODAY
    return (
        fits(row, asked, "priority")
        and asked["status"] in {None, shown_status(row)}
        and (asked["assignee"] is None or asked["assignee"].lower() == (row["assignee"] or "").lower())
        and (asked["due_before"] is None or (row["due"] is not None and row["due"] < asked["due_before"]))
        and asked["overdue"] in {None, overdue}
    )


def task_order(number: int, row: dict[str, Any], asked: dict[str, Any]) -> tuple[int, ...]:
    sort, timed = asked["sort"], asked["after"] is not None or asked["before"] is not None
    due = 99 if row["due"] is None else row["due"]
    if sort == "due":
        return (due, number)
    return (
        (URGENCY[row["priority"]], due, number)
        if sort == "priority"
        else (-row["at"] if timed else 0, -number)
    )


@examples
@given(rows=st.lists(TASK, max_size=12), asked=TASKS_ASKED)
def test_tasks(actions_reader: Reader, rows: list[dict[str, Any]], asked: dict[str, Any]) -> None:
    actions_reader.fill(tasks, [])
    with actions_reader.db.write() as conn:
        for n, row in enumerate(rows):
            due = None if row["due"] is None else NOW + row["due"] * DAY
            spec = TaskSpec(
                title="t", assignee=row["assignee"], due_at=due, priority=row["priority"], default_key=f"k{n}"
            )
            draft = ActionDraft(
                id=f"act_{n}", step="0", contact=None, topic="t", due_at=NOW + row["at"] * DAY, spec=spec, play="p",
                channel="task", recipient=None, **{name: row[name] for name in ("account", "rule", "playbook", "tier")},
            )  # fmt: skip
            task_rows.put_task(conn, draft, spec, task_rows.content_of(spec, {}), 0)
            set_task(conn, draft.id, row["status"], snoozed_until=NOW + row["until"] * DAY)
    wanted = [(task_order(n, row, asked), n) for n, row in enumerate(rows) if task_wanted(row, asked)]
    found = actions_reader.whole("/v1/tasks", **question(asked))
    assert [one["id"] for one in found] == [f"act_{n}" for _, n in sorted(wanted)]


def test_a_cursor_of_another_order_is_refused(actions_reader: Reader) -> None:
    ask = actions_reader.client.get
    for n in range(3):
        draft = ActionDraft(
            id=f"act_{n}", step="0", contact=None, topic="t", due_at=NOW, play="p", channel="task", recipient=None,
            account="acme", rule="r", playbook="p", tier="low", spec=(spec := TaskSpec(title="t", default_key=f"{n}")),
        )  # fmt: skip
        with actions_reader.db.write() as conn:
            task_rows.put_task(conn, draft, spec, task_rows.content_of(spec, {}), 0)
    cursors = {
        sort: ask("/v1/tasks", params={"sort": sort, "limit": 1}).json()["next_cursor"]
        for sort in ("created", "due", "priority")
    }
    for sort in cursors:
        for made, cursor in cursors.items():
            answer = ask("/v1/tasks", params={"sort": sort, "cursor": cursor})
            assert answer.status_code == (200 if sort == made else 422), (sort, made)
