"""What ends is started again after a pause that doubles, and shrinks again once it has run steadily."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.local.supervisor import FIRST_PAUSE_S, LONGEST_PAUSE_S, STEADY_S, Watch


@dataclass
class Part:
    alive: bool = True
    pid: int = 1

    def launch(self) -> None:
        self.alive = True
        self.pid += 1

    def stop(self) -> None:
        self.alive = False


def test_a_part_that_runs_is_left_alone() -> None:
    part = Part()
    assert Watch("part", part).beat(0.0) is None
    assert part.pid == 1


def test_a_part_that_ended_is_started_after_the_pause() -> None:
    part = Part(alive=False)
    watch = Watch("part", part)
    assert "ended" in (watch.beat(100.0) or "")
    assert watch.beat(100.0 + FIRST_PAUSE_S / 2) is None
    assert "started again" in (watch.beat(100.0 + FIRST_PAUSE_S) or "")
    assert (part.alive, part.pid) == (True, 2)


def test_the_pause_doubles_up_to_a_limit_and_is_forgotten_after_a_steady_run() -> None:
    part = Part()
    watch = Watch("part", part)
    pauses = []
    for number in range(10):
        part.alive = False
        watch.beat(number * 100.0)
        pauses.append(watch.pause_s)
        watch.beat(number * 100.0 + LONGEST_PAUSE_S)
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses[-1] == LONGEST_PAUSE_S
    watch.beat(watch.started + STEADY_S + 1)
    assert watch.pause_s == FIRST_PAUSE_S
