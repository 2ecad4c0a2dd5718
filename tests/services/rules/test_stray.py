"""Events that another program put onto the wrong partition: the order of their account would be lost there."""

from __future__ import annotations

from pathlib import Path

from backbone.log import DEAD_LETTERS, EVENTS, Entry, partition_for
from schemas.event import Event, encode, from_microseconds
from tests.services.rules.test_worker import T0, rules


def test_what_came_on_the_wrong_partition_touches_no_account(tmp_path: Path) -> None:
    """Not even one that is known: its own partition's worker has its state in memory."""
    with rules(tmp_path / "stray") as ours:
        ours.post(2, account="known")
        ours.catch_up()
        before, _ = ours.stored()
        right = partition_for("known", 2)
        stray = Event(id="stray", source="t", type="login", account="known", time=from_microseconds(T0))
        ours.log.append(EVENTS, [Entry(key="known", value=encode(stray), partition=1 - right)]).result(10)
        ours.catch_up()
        assert ours.stored() == (before, [])
        (letter,) = [
            record for partition in range(2) for record in ours.log.read(DEAD_LETTERS, partition, 0, 10)
        ]
        assert dict(letter.headers)["error"] == b"the account belongs to another partition"
        ours.post(1, account="known")
        ours.catch_up()
        assert len(ours.stored()[1]) == 1
