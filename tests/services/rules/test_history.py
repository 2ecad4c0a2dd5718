"""What rules reads anew from the log, while retention and compaction take from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from backbone.log import EVENTS, Record, partition_for
from backbone.log.embedded.consumer import EmbeddedConsumer
from schemas.rule import RuleIn
from services.rules import partition_task
from tests.services.rules.test_worker import RULE, rules

PARTITION = partition_for("acme", 2)


def test_a_history_that_retention_overtakes_goes_on_where_the_log_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rules(tmp_path / "old") as ours:
        ours.post(10, account="acme")
        ours.catch_up()
        ours.log._retention = -(10**12)  # all is old
        while ours.log._sweep():
            pass
        ours.log._retention = None
        ours.post(5, account="acme")
        ours.catch_up()
        stale = dict.fromkeys(range(2), 0)  # as asked for before the sweep
        monkeypatch.setattr(ours.log, "start_offsets", lambda _: stale)
        end = ours.log.end_offsets(EVENTS)[PARTITION]
        found = [event.id for _, _, event in ours.worker.tasks[PARTITION]._history(end)]
        assert found == [f"e{n}" for n in range(11, 16)]


def test_an_event_that_compaction_took_is_not_mistaken_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rules(tmp_path / "gap") as ours:
        ours.post(3, account="acme")
        ours.catch_up()
        read, task = ours.log.read, ours.worker.tasks[PARTITION]
        place = next(offset for offset, _, event in task._history(99) if event.id == "e2")

        def compacted(topic: str, partition: int, offset: int, limit: int = 1_000) -> list[Record]:
            return [r for r in read(topic, partition, offset, limit + 1) if r.offset != place][:limit]

        task._batch = []
        assert task._fetch(place).id == "e2"
        monkeypatch.setattr(ours.log, "read", compacted)
        assert task._fetch(place + 1).id == "e3"
        with pytest.raises(LookupError):
            task._fetch(place)


def test_a_worker_stays_in_its_group_through_a_backfill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stays = [0]
    monkeypatch.setattr(partition_task, "HISTORY_PAGE", 10)
    monkeypatch.setattr(EmbeddedConsumer, "stay", lambda _: stays.__setitem__(0, stays[0] + 1))
    with rules(tmp_path / "long") as ours:
        ours.post(200, account="acme")
        ours.catch_up()
        before = stays[0]
        given = {**RULE, "name": "later", "backfill": True}
        ours.saver.run(lambda conn: ours.saver.create(conn, RuleIn.model_validate(given), "test"))
        ours.worker.run_once()
        assert stays[0] - before >= 20
