"""Whatever a backtest has judged, it can show later on: each of its numbers leads to the same event again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbone.jobs.scratch import Scratch
from backbone.log import EVENTS, OffsetOutOfRange, Record
from schemas.event import Event
from services.rules.backtest import history
from services.rules.backtest.heard import Heard
from services.rules.backtest.history import PartitionHistory
from tests.unit.backtest.kit import DISK, JSON, MemoryLog, backtest, live, reading_order, sorted_by_id, told
from tests.unit.backtest.test_against_a_server import PARTITIONS

RULE: JSON = {"name": "r", "when": {"threshold": {"event": "tick", "at_least": 2}}}
TIERS: list[JSON] = [{"tier": "tech"}]


def histories_of(log: MemoryLog) -> list[PartitionHistory]:
    scratch, ends = Scratch(DISK), log.end_offsets(EVENTS)
    return [PartitionHistory(log, number, scratch, 0, ends[number]) for number in range(log.partitions)]


def judged(one: PartitionHistory) -> list[tuple[int, Event]]:
    """The events in the order in which they are judged, each with its number."""
    assert list(one.survey(Heard({}))) is not None
    return [(number, event) for _, items in one.batches() for number, _, event in items]


def bare(event: Event) -> Any:
    return msgspec.to_builtins(event)


def by_account(events: Iterable[Event]) -> list[Any]:
    """The order of accounts among one another does not matter where their times are equal."""
    return [bare(event) for event in sorted(events, key=lambda event: event.account or "")]


RECORDS = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(("tick", "account.updated")), "account": st.sampled_from("abc"),
         "historical": st.booleans()},
        optional={"time": st.integers(0, 20).map("2026-01-05T{:02}:00:00Z".format)},
    ),
    max_size=12,
)  # fmt: skip


@given(RECORDS)
def test_every_number_leads_to_the_event_that_was_judged(records: list[JSON]) -> None:
    log = MemoryLog(1)
    for number, body in enumerate(records):
        log.append({"id": f"e{number}", "source": "t", "data": {"n": number}, **body}, 1_767_571_200_000_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "PAGE", 3)
        patch.setattr(history, "FETCH", 2)
        for one in histories_of(log):
            found = judged(one)
            assert by_account(event for _, event in found) == by_account(reading_order(log.lanes[0]))
            assert len({number for number, _ in found}) == len(found)
            for number, event in found:
                assert bare(one.fetch(number)) == bare(event)


def test_updates_without_a_time_of_their_own_keep_their_order() -> None:
    log = MemoryLog(1)
    for tier in ("low", "high"):
        log.append(
            {
                "id": tier,
                "account": "a",
                "type": "account.updated",
                "historical": True,
                "data": {"tier": tier},
            }
        )
    log.append({"id": "e", "account": "a", "type": "tick", "time": "2026-01-05T12:00:00Z"})
    (one,) = histories_of(log)
    assert [event.id for _, event in judged(one)] == ["low", "high", "e"]


def ticks(*hours: int) -> list[JSON]:
    """A merge of `a` into `c`, and then these events of `a`."""
    at = "2026-01-05T{:02}:00:00Z".format
    merge = {"id": "m", "source": "t", "type": "account.merged", "time": at(1), "data": {"into": "c"}}
    later = [{"id": f"e{hour}", "source": "t", "type": "tick", "time": at(hour)} for hour in hours]
    return [{"account": "a", **one} for one in (merge, *later)]


def cut(log: MemoryLog, rule: JSON) -> list[JSON]:
    """The triggers of a server, whose log is cut where rules had not written yet what the merge sends on."""
    ends = [len(lane) for lane in log.lanes]
    wanted = sorted_by_id([told(one) for one in live(log, rule, TIERS, append=True)])
    assert sum(map(len, log.lanes)) > sum(ends)
    for lane, end in zip(log.lanes, ends, strict=True):
        del lane[end:]
    return wanted


def test_a_late_event_completes_a_count_at_an_event_that_the_log_does_not_show_yet() -> None:
    """Found by Hypothesis: the event of 12:00 is sent on, and nothing holds it; that of 11:00 makes it the second."""
    log = MemoryLog(PARTITIONS)
    for body in ticks(12, 11):
        log.append(body)
    wanted = cut(log, RULE)
    (shown,) = backtest(log, [("rule", RULE)], TIERS).of()
    assert sorted_by_id([shown]) == wanted
    assert (shown["account"], shown["event_id"]) == ("c", "e12")


def test_a_backtest_still_fails_over_an_event_that_retention_has_deleted_meanwhile() -> None:
    log = MemoryLog(1)
    for hour in (12, 13, 14):
        log.append({"account": "a", "id": f"e{hour}", "type": "tick", "time": f"2026-01-05T{hour}:00:00Z"})
    (one,) = histories_of(log)
    (_, kept), *_ = judged(one)
    assert kept.id == "e12"

    def gone(topic: str, partition: int, offset: int, limit: int = 1000) -> list[Record]:
        raise OffsetOutOfRange(topic, partition, offset, 2, 3)

    log.read = gone  # type: ignore[method-assign]
    with pytest.raises(LookupError, match="offset 0 is not in the log any more"):
        one.fetch(0)
