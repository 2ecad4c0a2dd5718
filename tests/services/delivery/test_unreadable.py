"""An action whose row cannot be read ends by itself: it is told, its neighbours are sent, and nothing stands still."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select, text

from services.actions.channels.base import Target
from services.actions.delivery.attempt_writer import AttemptWriter, Batch, BatchResult
from services.actions.delivery.readable import written
from services.actions.plays.model import Leased
from services.actions.plays.retry_policy import Outcome
from services.actions.storage.due import Looks, Wanted, due_ids
from services.actions.storage.library import ENDPOINTS
from services.actions.storage.sql import Unreadable
from services.actions.tables import actions, attempts
from tests.services.delivery.kit import HASHER, Fake, House
from tests.services.delivery.test_journal import Dead, die
from tests.services.delivery.test_sending import either
from tests.unit.channels.helpers import SECRET

__all__ = ["either"]  # the fixture

GOOD = [f"act_{n}" for n in range(6)]
HOOK: dict[str, Any] = {"channel": "webhook", "recipient": "crm", "rendered": {"body": {}}}
FAILED = ("failed", "template_error")
SEEN = "what is stored of it cannot be read: "


def spoil(house: House, column: str, value: str, action: str = "act_bad") -> None:
    """Put a value, given in SQL, into a column."""
    table = actions.name if house.db.dialect == "sqlite" else f"actions.{actions.name}"
    with house.db.write() as conn:
        conn.execute(text(f"UPDATE {table} SET {column} = {value} WHERE id = :id"), {"id": action})


def states(house: House) -> dict[Any, tuple[str, str | None]]:
    """The status and reason of every action, whatever else is in its row."""
    with house.db.read() as conn:
        rows = conn.execute(select(actions.c.id, actions.c.status, actions.c.reason))
        return {row.id: (row.status, row.reason) for row in rows}


def details(house: House, action: str) -> list[tuple[int, str, str | None]]:
    return [(row.n, row.outcome, row.detail) for row in house.rows(attempts) if row.action == action]


def until_over(house: House) -> None:
    """Wait until nothing is to be sent any more."""

    def over() -> bool:
        with house.db.read() as conn:
            return not {"pending", "retrying"}.intersection(conn.scalars(select(actions.c.status)))

    house.until(over)


CONTENTS = ["'[1]'", "'\"text\"'", "'5'", "'true'"]
NOT_JSON = ["'{oops'", "'\"'", "X'00ff'", "CAST(X'7b2261223a22ff227d' AS TEXT)", f"'{'[' * 100_000}'"]


def fails_alone(house: House, column: str) -> None:
    """The bad one of the webhooks ends as failed, and the others are sent."""
    channel = Fake()
    house.loop(webhook=channel)
    until_over(house)
    assert states(house) == dict.fromkeys(GOOD, ("done", None)) | {"act_bad": FAILED}
    assert sorted(channel.sent) == GOOD
    assert details(house, "act_bad") == [(1, "permanent", SEEN + column)]
    told = [json.loads(event) for event in house.events()]
    assert [one["data"]["reason"] for one in told if one["type"] == "touchline.webhook.failed"] == [
        "template_error"
    ]
    assert sum(one["type"] == "touchline.webhook.delivered" for one in told) == 6


@pytest.mark.parametrize("value", CONTENTS)
def test_content_that_is_no_object(either: House, value: str) -> None:
    either.put("act_bad", *GOOD, **HOOK)
    spoil(either, "rendered", value)
    fails_alone(either, "rendered")
    assert [(row.attempts, row.rendered) for row in either.rows(actions) if row.id == "act_bad"] == [
        (1, None)
    ]


@pytest.mark.parametrize("value", NOT_JSON, ids=[value[:20] for value in NOT_JSON])
def test_content_that_is_not_even_json(house: House, value: str) -> None:
    """Only SQLite keeps it. Afterwards the action can be shown, with all others."""
    house.put("act_bad", *GOOD, **HOOK)
    spoil(house, "rendered", value)
    fails_alone(house, "rendered")
    assert {row.id: row.rendered for row in house.rows(actions)}["act_bad"] is None


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("due_at", "'tomorrow'"), ("due_at", "1.5"), ("due_at", "9e999"), ("due_at", "X'01'"),
        ("next_attempt_at", "next_attempt_at - 0.5"), ("next_attempt_at", "'soon'"), ("next_attempt_at", "X'ff'"),
        ("attempts", "'many'"), ("begun_at", "'now'"),
        ("recipient", "X'00ff'"), ("recipient", "CAST(X'ff41' AS TEXT)"), ("topic", "X'ff'"),
        ("attempting", "0.5"), ("tries_before", "''"),
    ],
)  # fmt: skip
def test_a_value_that_its_column_does_not_hold(house: House, column: str, value: str) -> None:
    """Only SQLite keeps it."""
    house.put("act_bad", *GOOD, **HOOK)
    spoil(house, column, value)
    if column == "attempting":
        house.loop(webhook=Fake())
        until_over(house)  # nobody can tell whether it went out
        assert states(house) == dict.fromkeys(GOOD, ("done", None)) | {
            "act_bad": ("uncertain", "interrupted")
        }
    else:
        fails_alone(house, column)


def test_a_play_that_is_not_there(either: House) -> None:
    either.put("act_bad", *GOOD, **HOOK)
    spoil(either, "play", "'ply_none'")
    fails_alone(either, "play")


def test_its_event_is_relayed_at_once(house: House) -> None:
    house.put("act_bad", **HOOK)
    spoil(house, "rendered", "'[]'")
    house.loop(webhook=Fake())
    house.until(house.told.is_set)
    assert len(house.events()) == 1


@pytest.mark.parametrize("column", ["account", "step"])
def test_where_nobody_can_be_told_it_ends_all_the_same(house: House, column: str) -> None:
    house.put("act_bad", *GOOD, **HOOK)
    spoil(house, column, "X'ff'")
    house.loop(webhook=Fake())
    until_over(house)
    assert states(house) == dict.fromkeys(GOOD, ("done", None)) | {"act_bad": FAILED}
    assert details(house, "act_bad") == [(1, "permanent", SEEN + column)]
    assert not any("webhook.failed" in event for event in house.events())


@pytest.mark.parametrize("value", ["X'ff00'", "CAST(X'ff' AS TEXT)"])
def test_an_id_that_nobody_could_name(house: House, value: str) -> None:
    house.put("act_bad", *GOOD, **HOOK)
    [seq] = [row.seq for row in house.rows(actions) if row.id == "act_bad"]
    spoil(house, "id", value)
    house.loop(webhook=Fake())
    until_over(house)
    assert states(house) == dict.fromkeys(GOOD, ("done", None)) | {f"act_unreadable_{seq}": FAILED}
    assert details(house, f"act_unreadable_{seq}") == [(1, "permanent", f"{SEEN}id")]


def test_what_has_ended_stops_nobody_whenever_it_would_be_due(house: House) -> None:
    house.put("act_bad", status="done")
    spoil(house, "next_attempt_at", "'soon'")
    loop = house.loop(email=Fake())
    for action in GOOD[:2]:
        house.put(action)
        loop.wake()
        house.until(lambda action=action: states(house)[action] == ("done", None))
    assert states(house)["act_bad"] == ("done", None)


def test_the_connection_is_as_it_was(house: House) -> None:
    """Or all later texts are read slowly, and bytes among them pass for text."""
    house.put("act_bad", **HOOK)
    spoil(house, "recipient", "CAST(X'ff' AS TEXT)")
    with house.db.write() as conn:
        with pytest.raises(Unreadable):
            due_ids(conn, house.clock.now(), Wanted(10), Looks())
        driver: Any = conn.connection.driver_connection
        assert driver.text_factory is str


def test_several_at_once_in_different_ways(house: House) -> None:
    house.put("act_bad", "act_worse", "act_worst", *GOOD, **HOOK)
    spoil(house, "rendered", "'{'")
    spoil(house, "recipient", "X'ff'", "act_worse")
    spoil(house, "due_at", "''", "act_worst")
    spoil(house, "rendered", "'{'", "act_worst")
    house.loop(webhook=Fake())
    until_over(house)
    assert {one for one, state in states(house).items() if state == FAILED} == {
        "act_bad",
        "act_worse",
        "act_worst",
    }
    assert details(house, "act_worst") == [(1, "permanent", f"{SEEN}due_at")]


def test_what_python_alone_reads_is_sent(house: House) -> None:
    """Not a number, and half a surrogate pair: neither is JSON, and both are in what older versions stored."""
    house.put("act_nan", "act_half", "act_null", "act_none", **HOOK)
    contents = {
        "nan": """'{"body": NaN}'""",
        "half": """'{"body": "\\ud800"}'""",
        "null": "'null'",
        "none": "NULL",
    }
    for action, value in contents.items():
        spoil(house, "rendered", value, f"act_{action}")
    seen: dict[str, Any] = {}

    def look(action: Leased) -> Outcome:
        seen[action.id] = action.rendered
        return Outcome(kind="done")

    house.loop(webhook=Fake(look))
    until_over(house)
    assert {status for status, _ in states(house).values()} == {"done"}
    assert seen["act_half"] == {"body": "\ud800"}
    assert (seen["act_null"], seen["act_none"]) == ({}, {})


@pytest.mark.parametrize("more", [{}, HOOK], ids=["mail", "webhook"])
def test_what_may_have_gone_out_is_uncertain(either: House, more: dict[str, Any]) -> None:
    either.put("act_bad", attempts=1, attempting=True, lease_owner="dead", lease_until=1, **more)
    either.put(*GOOD)
    with either.db.write() as conn:
        conn.execute(attempts.insert(), [{"action": "act_bad", "n": 1, "started_at": 1}])
    spoil(either, "rendered", "'[]'")
    mails, hooks = Fake(idempotent=False), Fake()
    either.loop(email=mails, webhook=hooks)
    until_over(either)
    assert states(either) == dict.fromkeys(GOOD, ("done", None)) | {"act_bad": ("uncertain", "interrupted")}
    assert details(either, "act_bad") == [(1, "interrupted", None), (2, "permanent", f"{SEEN}rendered")]
    assert "act_bad" not in mails.sent + hooks.sent


def test_of_a_play_that_was_exited_it_is_skipped(house: House) -> None:
    house.put("act_bad", play="ply_x", play_status="exited", status="retrying", attempts=1)
    spoil(house, "rendered", "'{oops'")
    house.loop(email=Fake())
    until_over(house)
    assert states(house) == {"act_bad": ("skipped", "play_exited")}


def test_with_the_log_clock_its_end_is_at_the_due_time(house: House) -> None:
    house.settings = house.settings.model_copy(update={"clock": "log"})
    house.put("act_bad", due_at=1_000_000, **HOOK)
    spoil(house, "rendered", "'[]'")
    house.loop(webhook=Fake())
    until_over(house)
    assert house.rows(actions)[0].done_at == 1_000_000
    assert '"time":"1970-01-01T00:00:01Z"' in house.events()[0]


# -- while it is under way


def test_one_that_can_no_longer_be_read_when_it_has_been_sent(house: House) -> None:
    """The others' ends are written. Of this one nobody can say any more what became of it."""

    def spoiled(action: Leased) -> Outcome:
        if action.id == "act_bad":
            spoil(house, "due_at", "'x'")
        return Outcome(kind="done")

    house.put("act_bad", *GOOD, **HOOK)
    channel = Fake(spoiled)
    house.loop(webhook=channel)
    until_over(house)
    assert states(house) == dict.fromkeys(GOOD, ("done", None)) | {"act_bad": ("uncertain", "interrupted")}
    assert sorted(channel.sent) == sorted(["act_bad", *GOOD])
    journal = house.loops[0]._journal
    assert journal is not None
    house.until(lambda: journal._begun == {})


def test_one_that_a_dead_process_had_costs_no_other_its_end(house: House) -> None:
    dead = Dead(house)
    die(dead.journal)
    spoil(house, "due_at", "'x'", "act_silent")
    assert dead.taken_over()[0]
    assert states(house)["act_ended"] == ("done", None)
    assert states(house)["act_silent"] == ("uncertain", "interrupted")
    mails = Fake(idempotent=False)
    house.loop(alone=False, email=mails)
    until_over(house)
    assert mails.sent == ["act_leased"]
    assert states(house)["act_passed"] == ("uncertain", "maybe_delivered")


def tried(house: House, *, raises: int) -> tuple[int, list[BatchResult]]:
    """Write something that comes upon an action so often that cannot be read and has ended; returns how often that was,
    and what was told."""
    house.put("act_bad", status="done")
    calls, told = 0, list[BatchResult]()
    recorder = AttemptWriter("me", HASHER, 2, log_clock=False)

    def work(_: Any) -> int:
        nonlocal calls
        calls += 1
        if calls <= raises:
            raise Unreadable({"act_bad": ["due_at"]})
        return calls

    return written(house.db, house.clock, recorder, told.append, work), told


def test_one_that_another_process_has_ended_meanwhile_is_no_hindrance(house: House) -> None:
    calls, told = tried(house, raises=1)
    assert (calls, [one.tally for one in told]) == (2, [[]])
    assert states(house) == {"act_bad": ("done", None)}


def test_where_nothing_can_be_done_it_is_not_tried_for_ever(house: House) -> None:
    with pytest.raises(Unreadable):
        tried(house, raises=2)
    assert states(house) == {"act_bad": ("done", None)}


# -- endpoints


def test_an_endpoint_that_cannot_be_read_costs_only_its_own_webhooks(house: House) -> None:
    doc = {"url": "http://crm.test/", "secret": SECRET}
    with house.db.write() as conn:
        ENDPOINTS.put(conn, "crm", doc, "test", 1)
        ENDPOINTS.put(conn, "odd", {**doc, "concurrency": "many"}, "test", 1)
    house.put("act_1", **HOOK)
    house.put("act_2", **HOOK | {"recipient": "odd"})
    recorder = AttemptWriter("me", HASHER, 2, log_clock=False)
    wanted = Wanted(10, begin={("webhook", "crm"), ("webhook", "odd")})
    with house.db.write() as conn:
        found = recorder.write(conn, Batch(lease=wanted), house.clock.now())
    assert found.begun == {"act_1": 1, "act_2": 1}
    assert isinstance(found.targets["crm"], Target)
    assert found.targets["odd"] is None  # the webhook ends as `endpoint_unknown`
