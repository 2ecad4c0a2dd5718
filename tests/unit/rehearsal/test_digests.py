"""A rehearsal counts the mails of digests, over all partitions."""

from typing import Any

from backbone.log import partition_for
from schemas.trigger import Position
from tests.unit.rehearsal.kit import DAY, T0, MemoryLog, account, acts, book, event, rehearse, trigger

HOUR = DAY // 24
NINE = T0 + 9 * HOUR
LIST: dict[str, Any] = {"digest": {"template": "hello", "to": "owner", "at": "09:00"}}
HERE = next(n for n in map(str, range(100)) if partition_for(n, 2) == 0)
THERE = next(n for n in map(str, range(100)) if partition_for(n, 2) == 1)


def log(*more: Any) -> MemoryLog:
    return MemoryLog([account(name=HERE), account(name=THERE), *more], partitions=2)


def triggers(*at: tuple[str, int]) -> list[Any]:
    made = []
    for name, moment in at:
        one = trigger(moment, account=name)
        one.position = Position(partition_for(name, 2), 0)
        made.append(one)
    return made


def test_one_mail_for_both_partitions() -> None:
    played, report = rehearse(
        book(steps=[LIST]),
        triggers((HERE, T0 + HOUR), (THERE, T0 + 2 * HOUR)),
        log(event("it", NINE + HOUR, HERE)),
    )
    assert [(one[1], one[3], one[4]) for one in acts(played)] == [
        ("email", "jo@us.test", "2026-01-01T09:00:00Z")
    ]
    assert report["actions"]["email"] == 1
    assert report["by_day"] == [{"day": "2026-01-01", "email": 1, "task": 0, "webhook": 0}]
    assert report["recipients"]["most"] == 1
    assert len(report["samples"]) == 1


def test_none_before_its_moment_and_the_template_is_tried_all_the_same() -> None:
    played, report = rehearse(book(steps=[LIST]), triggers((HERE, T0 + HOUR)), log(event("it", NINE - 1)))
    assert acts(played) == []
    assert ("low", "0", "") in played.drawing.drawn
    assert report["errors"] == []


def test_what_exited_before_is_left_out_and_what_exited_later_is_not() -> None:
    played, report = rehearse(
        book(steps=[LIST], exit_when={"event": "paid"}),
        triggers((HERE, T0 + HOUR), (THERE, T0 + HOUR)),
        log(event("paid", T0 + 2 * HOUR, HERE), event("paid", NINE, THERE)),
    )
    assert [(one[0], one[5]) for one in acts(played)] == sorted(
        [(HERE, "play_exited"), (THERE, None)], key=repr
    )
    assert report["skipped"] == {"play_exited": 1}


def test_a_topic_that_was_left_is_skipped() -> None:
    mine = {"digest": {**LIST["digest"], "to": "contact"}}
    _, report = rehearse(
        book(steps=[mine], topic="news"),
        triggers((HERE, T0 + HOUR)),
        log(event("it", NINE, HERE)),
        suppressed=lambda address, topic: (address, topic) == ("ann@acme.test", "news"),
    )
    assert (report["skipped"], report["actions"]["email"]) == ({"suppressed": 1}, 0)
