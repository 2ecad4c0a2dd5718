"""What other programs, and users with odd numbers, may put onto the log: it stops nobody, now or after a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from backbone.clock import ManualClock
from backbone.log import DEAD_LETTERS, EVENTS, MAX_RECORD_BYTES, TRIGGERS, Entry, Record, partition_for
from backbone.telemetry import FIELDS_LEFT_OUT
from schemas.event import from_microseconds, rfc3339
from schemas.profile import Owner
from schemas.rule import RuleIn
from schemas.trigger import Trigger, TriggerRecord
from services.rules.decoding import MAX_BYTES, MAX_DEPTH, MAX_ID
from services.rules.engine.state_codec import decode
from services.rules.worker import RulesWorker
from tests.services.rules.test_worker import MINUTE, T0, Rules, rules

DAY = 1_440 * MINUTE
PARTITION = partition_for("acme", 2)
HUGE = int("9" * 400)  # beyond what a floating point number reaches
FIRES = {"threshold": {"event": "fires", "within": "1d", "at_least": 1}}
SUMS = {"threshold": {"event": "fires", "aggregate": "sum", "of": "data.n", "within": "1d", "at_least": 1}}
QUIET = {"absence": {"event": "quiet", "for": "1d"}}


def save(ours: Rules, name: str, when: dict[str, Any], **more: Any) -> None:
    rule = RuleIn.model_validate({"name": name, "status": "active", "when": when, **more})
    ours.saver.run(lambda conn: ours.saver.create(conn, rule, "test"))


def post(ours: Rules, type_: str, at: int, data: Any = None, **more: Any) -> bytes:
    """An event of acme as another program may write it; its value."""
    given = {"id": f"{type_}-{at}", "type": type_, "account": "acme", "data": data, **more}
    value = msgspec.json.encode({"time": from_microseconds(at), **given})
    ours.log.append(EVENTS, [Entry(key="acme", value=value)]).result(timeout=10)
    return value


def restart(ours: Rules) -> None:
    """All that is in memory is gone."""
    ours.worker.stop()
    ours.worker = RulesWorker(ours.db, ours.log, ManualClock(T0), clock_mode="log")
    ours.worker.join()


def letters(ours: Rules) -> list[Record]:
    found = [r for p in range(2) for r in ours.log.read(DEAD_LETTERS, p, 0, 1_000)]
    return sorted(found, key=lambda record: dict(record.headers)["origin"])


def told(ours: Rules) -> list[Trigger]:
    records = ours.log.read(TRIGGERS, PARTITION, 0, 1_000)
    found = [msgspec.json.decode(record.value, type=TriggerRecord).trigger for record in records]
    return [trigger for trigger in found if trigger is not None]


def attributes(ours: Rules) -> dict[str, Any]:
    return decode(ours.stored()[0]["acme"]).profile.attributes


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**30, HUGE, -HUGE])
def test_integers_beyond_64_bits_are_kept_as_floating_point_numbers(tmp_path: Path, number: int) -> None:
    with rules(tmp_path / "wide") as ours:
        save(ours, "quiet", QUIET)
        save(ours, "sums", SUMS)
        post(ours, "account.updated", T0, {"attributes": {"n": number, "list": [{"n": number}], "one": 1}})
        post(ours, "contact.updated", T0, {"attributes": {"n": number}}, contact="ann")
        post(ours, "quiet", T0, {"n": number})
        post(ours, "fires", T0, {"n": number})
        ours.catch_up()
        near = pytest.approx(max(min(number, int(1.7976931348623157e308)), -int(1.7976931348623157e308)))
        assert attributes(ours) == {"n": near, "list": [{"n": near}], "one": 1}
        assert type(attributes(ours)["n"]) is float
        restart(ours)
        post(ours, "later", T0 + 2 * DAY)
        ours.catch_up()
        shown = {trigger.rule: trigger.event for trigger in told(ours)}
        assert shown["quiet"] is not None
        assert shown["quiet"].data == {"n": near}
        assert ("sums" in shown) == (number > 0)
        assert letters(ours) == []


def test_what_states_and_triggers_cannot_hold_goes_to_the_dead_letters(tmp_path: Path) -> None:
    with rules(tmp_path / "odd") as ours:
        save(ours, "fires", FIRES)
        save(ours, "quiet", QUIET)
        odd = [
            post(ours, "fires", T0, "x" * MAX_BYTES),
            post(ours, "fires", T0, id="i" * (MAX_ID + 1)),
            *(
                post(ours, type_, T0, nested(MAX_DEPTH + 1))
                for type_ in ("fires", "quiet", "account.updated")
            ),
            *(post(ours, type_, T0, nested(600)) for type_ in ("fires", "quiet", "account.updated")),
            post(ours, "fires", T0, time="0001-01-01T00:00:00+14:00"),
            post(ours, "fires", T0, time="9999-12-31T23:59:59-14:00"),
        ]
        fine = [
            post(ours, "fires", T0 + 1, nested(MAX_DEPTH)),
            post(ours, "fires", T0 + 2 * DAY, id="i" * MAX_ID),
        ]
        ours.catch_up()
        assert sorted(letter.value for letter in letters(ours)) == sorted(odd)
        assert len(told(ours)) == len(fine)
        assert ours.worker.unhealthy("fires") is None


def nested(depth: int) -> Any:
    data: Any = []
    for _ in range(depth - 1):
        data = [data]
    return {"deep": data, "long": "x" * 1_000} if depth < 500 else data


def test_a_trigger_that_no_record_holds_goes_without_its_events_data(tmp_path: Path) -> None:
    with rules(tmp_path / "large") as ours:
        save(ours, "fires", FIRES)
        number = b"1e15,"  # of which JSON makes 19 characters once it is a floating point number
        data = b"[%s0]" % (number * ((MAX_BYTES - 1_000) // len(number)))
        value = b'{"id":"e","type":"fires","account":"acme","time":"%s","data":%s}' % (
            rfc3339(T0).encode(),
            data,
        )
        ours.log.append(EVENTS, [Entry(key="acme", value=value)]).result(timeout=10)
        ours.catch_up()
        (trigger,) = told(ours)
        assert trigger.event is not None
        assert (trigger.event.id, trigger.event.data) == ("e", None)
        stored = msgspec.json.decode(ours.stored()[1][0], type=Trigger)
        assert stored.event is not None
        assert len(stored.event.data) * 19 > MAX_RECORD_BYTES
        restart(ours)
        ours.catch_up()


def test_a_backfill_leaves_out_what_was_put_aside(tmp_path: Path) -> None:
    with rules(tmp_path / "aside") as ours:
        post(ours, "fires", T0, contact="c" * 257)
        post(ours, "fires", T0 + 1)
        ours.catch_up()
        assert len(letters(ours)) == 1
        twice = {"threshold": {"event": "fires", "within": "1d", "at_least": 3}}
        save(ours, "twice", twice, backfill=True)
        post(ours, "fires", T0 + 2)
        ours.catch_up()
        assert told(ours) == []


def test_an_address_that_is_none_is_left_out_and_counted(tmp_path: Path) -> None:
    """What our door refuses, another program writes to the log: nobody can be told, and the rest is taken."""
    counted = FIELDS_LEFT_OUT.labels("log", "owner.email")
    before = counted._value.get()
    sent = {
        "name": "Acme",
        "timezone": "Mars/Olympus",
        "owner": {"name": "Jo", "email": "jo.us.test"},
        "contacts": [
            {"id": "ann", "email": " ann@acme.test "},
            {"id": "bob", "email": "bob@", "name": "Bob"},
        ],
    }
    with rules(tmp_path / "addresses") as ours:
        post(ours, "account.updated", T0, sent)
        ours.catch_up()
        profile = decode(ours.stored()[0]["acme"]).profile
        assert letters(ours) == []
    assert (profile.name, profile.timezone, profile.owner) == ("Acme", None, Owner(name="Jo"))
    assert [(one.email, one.name) for one in profile.contacts.values()] == [
        ("ann@acme.test", None),
        (None, "Bob"),
    ]
    assert counted._value.get() == before + 1
