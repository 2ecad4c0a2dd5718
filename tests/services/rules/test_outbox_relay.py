"""Triggers go onto the log in appends of a bounded size, few at a time, and none behind one that failed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import msgspec
import pytest

from backbone.log import TRIGGERS, Entry, LogUnavailable
from backbone.log import limits as log_limits
from backbone.log.limits import RECORD_OVERHEAD
from backbone.log.records import Place
from schemas.rule import RuleIn
from schemas.trigger import Trigger, TriggerRecord
from services.rules import outbox_relay
from tests.services.rules.test_worker import Rules, rules

LIMIT = 5_000
_told = msgspec.json.Decoder(TriggerRecord).decode


class Lazy(Future[list[Place]]):
    """An append that the log answers when somebody waits for it, and no sooner."""

    def __init__(self, answer: Future[list[Place]]) -> None:
        super().__init__()
        self.answer = answer

    def result(self, timeout: float | None = None) -> list[Place]:
        if not self.done():
            self.set_result(self.answer.result(timeout))
        return super().result(timeout)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Appends of a few triggers."""
    chunked = log_limits.chunked
    monkeypatch.setattr(outbox_relay, "chunked", lambda items, size: chunked(items, size, LIMIT))


EACH = {
    "name": "each", "status": "active", "cooldown": "0s",
    "when": {"threshold": {"event": "login", "within": "1d", "at_least": 1}},
}  # fmt: skip


def talkative(ours: Rules) -> None:
    """A trigger for each event."""
    ours.saver.run(lambda conn: ours.saver.create(conn, RuleIn.model_validate(EACH), "test"))
    ours.catch_up()


def told(ours: Rules, partition: int) -> list[tuple[str, int]]:
    """What the topic says in order: triggers by their place, and progress."""
    found = [_told(record.value) for record in ours.log.read(TRIGGERS, partition, 0, 10_000)]
    return [
        ("trigger", one.trigger.position.offset)
        if one.trigger is not None
        else ("progress", one.progress.offset if one.progress is not None else -1)
        for one in found
    ]


@pytest.mark.usefixtures("small")
def test_appends_are_bounded_in_size_and_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with rules(tmp_path / "many") as ours:
        talkative(ours)
        append, made, sizes = ours.log.append, list[Lazy](), list[int]()

        def lazy(
            topic: str, entries: Sequence[Entry], *, after: Future[list[Place]] | None = None
        ) -> Future[list[Place]]:
            if topic != TRIGGERS:
                return append(topic, entries, after=after)
            sizes.append(sum(len(entry.value) + RECORD_OVERHEAD for entry in entries))
            before = after.answer if isinstance(after, Lazy) else after
            made.append(Lazy(append(topic, entries, after=before)))
            assert sum(not one.done() for one in made) <= outbox_relay.UNDER_WAY + 1
            return made[-1]

        monkeypatch.setattr(ours.log, "append", lazy)
        ours.post(400)
        ours.worker.run_once()
        while ours.worker._relay.waiting:
            ours.worker._relay._arrived(ours.worker._relay._sent.popleft())
        ours.catch_up()
        assert len(made) > 10
        assert max(sizes) < LIMIT + 2_000
        for partition in range(2):
            known = told(ours, partition)
            places = [place for what, place in known if what == "trigger"]
            assert places == sorted(places)
            assert known[-1] == ("progress", ours.log.end_offsets("touchline.events")[partition])
        stored = ours.stored()[1]
        assert sum(what == "trigger" for p in range(2) for what, _ in told(ours, p)) == len(stored) > 50


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("refused", range(1, 7))
def test_nothing_is_told_behind_an_append_that_was_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    with rules(tmp_path / "refused") as ours:
        talkative(ours)
        append, count = ours.log.append, iter(range(1, 1_000))

        def refusing(
            topic: str, entries: Sequence[Entry], *, after: Future[list[Place]] | None = None
        ) -> Future[list[Place]]:
            if topic == TRIGGERS and next(count) == refused:
                failed: Future[list[Place]] = Future()
                failed.set_exception(LogUnavailable("no"))
                return failed
            return append(topic, entries, after=after)

        monkeypatch.setattr(ours.log, "append", refusing)
        ours.post(40)
        with pytest.raises(LogUnavailable):
            ours.catch_up()
        before = {p: told(ours, p) for p in range(2)}
        ours.worker.restart()
        ours.catch_up()
        for partition, known in before.items():
            after = told(ours, partition)
            wanted = {place for what, place in after if what == "trigger"}
            for place, (what, offset) in enumerate(known):
                if what == "progress":
                    assert {p for w, p in known[:place] if w == "trigger"} >= {
                        p for p in wanted if p < offset
                    }
        places = {(q, p) for q in range(2) for w, p in told(ours, q) if w == "trigger"}
        stored = [msgspec.json.decode(doc, type=Trigger).position for doc in ours.stored()[1]]
        assert places == {(position.partition, position.offset) for position in stored}
