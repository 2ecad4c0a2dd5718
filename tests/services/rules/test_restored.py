"""A database that was put back to an earlier state: saves on the log that it does not know are passed over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import delete, update

from backbone.clock import ManualClock
from backbone.log import EVENTS, Entry
from schemas.event import RULES_SAVED, Event, encode, from_microseconds
from schemas.rule import RuleIn, TiersDoc
from schemas.trigger import Trigger
from services.rules.engine.ruleset import UnknownRevision
from services.rules.storage.revisions import RuleSets
from services.rules.tables import partitions, revisions
from services.rules.worker import RulesWorker
from tests.services.rules.test_worker import T0, Rules, rules


def rule(name: str) -> dict[str, Any]:
    when = {"threshold": {"event": "login", "within": "1d", "at_least": 1}}
    return {"name": name, "status": "active", "cooldown": "0s", "when": when}


def save(ours: Rules, name: str) -> None:
    ours.saver.run(lambda conn: ours.saver.create(conn, RuleIn.model_validate(rule(name)), "test"))


def fired(ours: Rules) -> list[str]:
    return sorted({msgspec.json.decode(doc, type=Trigger).rule for doc in ours.stored()[1]})


def test_a_save_takes_effect_though_lost_ones_had_its_number(tmp_path: Path) -> None:
    with rules(tmp_path / "restored") as ours:
        ours.catch_up()
        before = {p: task.saved.next_offset for p, task in ours.worker.tasks.items()}
        for name in ("lost", "gone", "forgotten"):
            save(ours, name)
        ours.catch_up()
        ours.worker.stop()
        with ours.db.write() as conn:
            conn.execute(delete(revisions).where(revisions.c.revision > 1))
            for partition, offset in before.items():
                known = partitions.c.partition == partition
                conn.execute(update(partitions).where(known).values(next_offset=offset, revision=1))
        ours.worker = RulesWorker(ours.db, ours.log, ManualClock(T0), clock_mode="log")
        ours.worker.join()
        ours.catch_up()
        for name in ("new", "newer"):
            save(ours, name)
            ours.post(7)
            ours.catch_up()
        assert fired(ours) == ["new", "newer"]


@pytest.mark.parametrize("number", [7, 10**14, True, -1, 1.5, "2", None])
def test_a_save_that_nobody_made_changes_nothing(tmp_path: Path, number: Any) -> None:
    with rules(tmp_path / "forged") as ours:
        at = from_microseconds(T0)
        forged = encode(Event(type=RULES_SAVED, id="x", source="x", time=at, data={"revision": number}))
        ours.log.append(EVENTS, [Entry(value=forged, partition=p) for p in range(2)]).result(timeout=10)
        ours.catch_up()
        assert {task.saved.revision for task in ours.worker.tasks.values()} == {1}
        save(ours, "new")
        ours.post(7)
        ours.catch_up()
        assert fired(ours) == ["new"]


def test_a_set_of_rules_is_compiled_again_when_it_was_forgotten(tmp_path: Path) -> None:
    with rules(tmp_path / "again") as ours:
        for name in ("a", "b"):
            save(ours, name)
        sets = RuleSets(ours.db)
        assert [len(sets(n).rules) for n in (3, 1, 2, 0)] == [3, 1, 2, 0]
        sets._sets.clear()
        assert [len(sets(n).rules) for n in (0, 3, 3)] == [0, 3, 3]
        with pytest.raises(UnknownRevision):
            sets(4)
        save(ours, "c")
        assert len(sets(4).rules) == 4


def test_a_save_among_what_was_lost_comes_with_the_next_one(tmp_path: Path) -> None:
    """What docs/operations.md tells to do where a partition goes on without events that were deleted unread."""
    with rules(tmp_path / "gap") as ours:
        ours.catch_up()
        ours.worker.stop()
        save(ours, "missed")
        ends = ours.log.end_offsets(EVENTS)
        with ours.db.write() as conn:
            for partition, end in ends.items():
                known = partitions.c.partition == partition
                conn.execute(update(partitions).where(known).values(next_offset=end))
        ours.worker = RulesWorker(ours.db, ours.log, ManualClock(T0), clock_mode="log")
        ours.worker.join()
        ours.post(7)
        ours.catch_up()
        assert fired(ours) == []
        policy = TiersDoc.model_validate({"tiers": [{"tier": "tech"}]})
        ours.saver.run(lambda conn: ours.saver.tiers(conn, policy, None, "test"))
        ours.post(7)
        ours.catch_up()
        assert fired(ours) == ["missed"]
