"""The whole library on one customer base: three hundred ordinary lives, and everything that every customer is sent.

Nothing that goes out is untrue at that moment, however long ago it was planned, and nobody is told two things that
contradict each other. What is claimed and what contradicts what stands in `claims.py`; the lives know of neither.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any

import pytest

from backbone.web.validation import validate
from schemas.event import CLOCK, Event, from_microseconds, microseconds
from services.actions.channels.email.spec import EmailSpec
from services.actions.plays.model import Rendered, RenderFailure, RenderJob
from services.cli.documents import KINDS, Document
from services.cli.scenario import World
from tests.unit.library.claims import CLAIMS, Doing, clashing, untrue
from tests.unit.library.files import JSON, ROWS, playbook_of, steps_of, tiers_of
from tests.unit.library.lives import Life, lives
from tests.unit.library.record import Record
from tests.unit.library.world import RENDER, library

COUNT, SEED, GROUP = 300, 12, 5
FAR = 1 << 62
# Mails whose texts name dates; the others' words are other tests' business.
DATED = "renewal", "trial-ending"


class Sparing:
    """The renderer, sparing the mails whose words are not asked for: they are most of the work."""

    def render_many(self, jobs: Sequence[RenderJob]) -> list[Rendered | RenderFailure]:
        return [self._one(job) for job in jobs]

    @staticmethod
    def _one(job: RenderJob) -> Rendered | RenderFailure:
        if isinstance(job.draft.spec, EmailSpec) and job.draft.playbook not in DATED:
            return Rendered(content={})
        return RENDER.render_many([job])[0]


def played(group: Sequence[Life], documents: Sequence[Document]) -> dict[str, list[Doing]]:
    """What each customer of a group was sent, in order of time, on one log."""
    world = World(documents, Sparing())
    for event in sorted((one for life in group for one in life.events), key=_time):
        _pass_time(world, _time(event))
        world.feed(event)
    sent: dict[str, list[Doing]] = {life.id: [] for life in group}
    for action in world.store.actions.values():
        if action.status == "done" and action.channel != "webhook":
            play = world.store.plays[action.play]
            sent[action.account].append(
                Doing(action, play.trigger, play.tier, from_microseconds(action.due_at))
            )
    return {name: sorted(doings, key=lambda one: one.now) for name, doings in sent.items()}


def _pass_time(world: World, upto: datetime) -> None:
    """What falls due before an event happens before it, one after the other, as on a wall clock."""
    while (due := max(_next_due(world), world.engine.clock + 1)) < microseconds(upto):
        world.feed(Event(id=f"clock.{due}", source="test", type=CLOCK, time=from_microseconds(due)))


def _next_due(world: World) -> int:
    """The next moment of a rule or wait of a play; far away if there is none."""
    play = world.store.next_wait(FAR)
    wait = FAR if play is None or play.wait is None else play.wait.due
    return min(wait, FAR if (moment := world.engine.next_due) is None else moment)


def _time(event: Any) -> datetime:
    time: datetime = event.time
    return time


def findings(
    everybody: Sequence[Life], documents: Sequence[Document]
) -> tuple[list[str], list[str], Counter[tuple[str, str]]]:
    """What was untrue, what contradicted, and how often each step came."""
    wrong, against, seen = [], [], Counter[tuple[str, str]]()
    for start in range(0, len(everybody), GROUP):
        group = everybody[start : start + GROUP]
        sent = played(group, documents)
        for life in group:
            record = Record(life)
            doings = sent[life.id]
            seen.update((one.action.playbook, one.action.step) for one in doings)
            wrong += [f"{_told(one)}: {why}" for one in doings for why in untrue(record, one)]
            against += [f"{clash.why}: {_told(a)}; {_told(b)}" for clash, a, b in clashing(doings)]
    return wrong, against, seen


def _told(doing: Doing) -> str:
    action = doing.action
    return f"{action.account} ({doing.tier}) {action.playbook}/{action.step} on {doing.now:%d %b %H:%M}"


@cache
def together() -> tuple[list[str], list[str], Counter[tuple[str, str]]]:
    """The findings of the library as it is."""
    return findings(lives(COUNT, SEED), library())


def test_nothing_is_untrue_when_it_goes_out() -> None:
    assert together()[0] == []


def test_nobody_is_told_two_things_that_contradict_each_other() -> None:
    assert together()[1] == []


@pytest.mark.parametrize("row", ROWS)
def test_every_mail_and_task_goes_out_to_somebody(row: str) -> None:
    """Or this would prove nothing."""
    steps = {
        step["id"] for listed in tiers_of(playbook_of(row)).values() for step in steps_of(listed)
        if "email" in step or "task" in step
    }  # fmt: skip
    assert {step for step in steps if not together()[2][row, step]} == set()
    assert set(CLAIMS) == set(ROWS)


OLD: dict[str, tuple[str, str, Callable[[JSON], Any]]] = {
    "set up since signing up, logged in or not": (
        "rule",
        "onboarding-stalled",
        lambda rule: rule["when"]["absence"].update(
            since={"event": ["account.signed_up", "onboarding.step_completed"]}
        ),
    ),
    "every top score is asked for a favour": ("rule", "advocate", lambda rule: rule.pop("unless")),
    "a payment that fails again begins anew": (
        "playbook",
        "payment-failed",
        lambda book: book["steps"]["tech"].pop(),
    ),
}


@pytest.mark.parametrize("why", OLD)
def test_what_the_library_once_did_would_be_noticed(why: str) -> None:
    kind, name, change = OLD[why]
    documents = []
    for one in library():
        if (one.kind, one.name) == (kind, name):
            body = copy.deepcopy(one.body)
            change(body)
            one = replace(one, body=body, model=validate(KINDS[kind], body))
        documents.append(one)
    wrong, against, _ = findings(lives(60, SEED), documents)
    assert wrong + against
