"""What a rehearsal plays, what it leaves out, and what it renders."""

from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace

from schemas.event import Event
from schemas.forwarding import Absorbed
from schemas.profile import Closing, Contact
from schemas.template import TemplateIn
from schemas.trigger import Moved, Position
from services.actions.channels.email.spec import variant_in
from services.actions.plays.model import action_id, play_id
from services.actions.rehearsal import errors, stage
from services.actions.rehearsal.drawing import plain_key
from services.actions.rehearsal.errors import TooManyActions
from services.actions.rendering import sandbox
from tests.unit.rehearsal.kit import (
    DAY,
    T0,
    MemoryLog,
    Renderer,
    account,
    acts,
    book,
    event,
    rehearse,
    statuses,
    trigger,
)

HOUR = DAY // 24
MAIL: dict[str, Any] = {"email": {"template": "hello"}}
FINAL: dict[str, Any] = {"email": {"template": "final"}}


def steps_of(played: Any) -> list[tuple[str, str, str | None]]:
    """Step, recipient or reason."""
    return [(step, str(error or reason or to), at) for _, _, step, to, at, reason, error in acts(played)]


def test_waits_run_out_at_the_end_of_the_log_and_no_further() -> None:
    log = MemoryLog([account(), event("it", T0), event("other", T0 + DAY, "beta")])
    one = trigger(T0, place=1)
    short, _ = rehearse(book(steps=[{"wait": "1d"}, MAIL]), [one], log)
    long, report = rehearse(book(steps=[{"wait": "25h"}, MAIL]), [one], log)
    assert steps_of(short) == [("1", "ann@acme.test", "2026-01-02T00:00:00Z")]
    assert steps_of(long) == []
    assert report["by_status"]["open"] == 1


def test_a_wait_is_over_once_the_clock_has_passed_it_whoever_moved_the_clock() -> None:
    late = event("paid", T0 + HOUR)
    moved = event("other", T0 + 3 * HOUR, "beta")
    waiting = book(exit_when={"event": "paid"}, steps=[{"wait": "2h"}, MAIL, {"wait": "2h"}, MAIL])
    log = MemoryLog([account(), event("it", T0), moved, late, event("other", T0 + DAY, "beta")])
    played, _ = rehearse(waiting, [trigger(T0, place=1)], log)
    assert steps_of(played) == [("1", "ann@acme.test", "2026-01-01T02:00:00Z")]
    log = MemoryLog([account(), event("it", T0), late, moved, event("other", T0 + DAY, "beta")])
    played, _ = rehearse(waiting, [trigger(T0, place=1)], log)
    assert steps_of(played) == []


def test_until_lets_waits_run_out_beyond_the_log() -> None:
    log = MemoryLog([account(), event("it", T0)])
    played, _ = rehearse(book(steps=[{"wait": "9d"}, MAIL]), [trigger(T0, place=1)], log, until=T0 + 9 * DAY)
    assert steps_of(played) == [("1", "ann@acme.test", "2026-01-10T00:00:00Z")]


def test_nothing_after_until_is_played() -> None:
    late = T0 + 3 * DAY
    log = MemoryLog([account(), event("it", T0), event("it", late), event("paid", late), account(T0 + DAY)])
    triggers = [trigger(T0, place=1), trigger(late, place=2, contact="bob")]
    _, report = rehearse(book(exit_when={"event": "paid"}), triggers, log, until=T0 + 2 * DAY)
    assert report["plays"] == 1
    assert +Counter(report["by_status"]) == {"finished": 1}


def test_the_end_is_that_of_all_partitions() -> None:
    log = MemoryLog([account(), event("it", T0), event("other", T0 + DAY, "gamma")], partitions=8)
    assert log.places[0].partition != log.places[2].partition
    one = replace(trigger(T0), position=log.places[1])
    played, _ = rehearse(book(steps=[{"wait": "1d"}, MAIL]), [one], log)
    assert len(steps_of(played)) == 1


def test_a_task_with_the_same_key_counts_once() -> None:
    log = MemoryLog([account(), event("it", T0), event("it", T0 + DAY), event("it", T0 + 2 * DAY)])
    triggers = [trigger(T0 + n * DAY, place=1 + n, key=key) for n, key in enumerate(["a", "a", "b"])]
    keyed = book(steps=[{"task": {"title": "Call", "assignee": "owner", "key": "{{ trigger.key }}"}}])
    _, report = rehearse(keyed, triggers, log)
    assert report["plays"] == 3
    assert report["actions"]["task"] == 2
    assert report["skipped"] == {}
    assert report["assignees"] == [
        {"assignee": "jo@us.test", "tasks": 2, "busiest_week": "2025-12-29", "tasks_that_week": 2}
    ]
    _, report = rehearse(book(), triggers, log)  # without a key, one open task of the step
    assert report["actions"]["task"] == 1


def test_a_task_that_its_exit_closed_is_made_anew() -> None:
    log = MemoryLog([account(), event("it", T0), event("paid", T0 + 1), event("it", T0 + DAY)])
    triggers = [trigger(T0, place=1), trigger(T0 + DAY, place=3)]
    _, report = rehearse(book(exit_when={"event": "paid"}), triggers, log)
    assert report["actions"]["task"] == 2


def test_a_task_that_somebody_completed_is_made_anew() -> None:
    triggers = [trigger(T0, place=1), trigger(T0 + DAY, place=3)]
    made = action_id(play_id(triggers[0].id, "book"), "0", "")
    done = Event(
        id="d", source="touchline", type="touchline.task.completed", account="acme", time=account(T0 + 1).time,
        data={"play": play_id(triggers[0].id, "book"), "action": made},
    )  # fmt: skip
    log = MemoryLog([account(), event("it", T0), done, event("it", T0 + DAY)])
    _, report = rehearse(book(), triggers, log)
    assert report["actions"]["task"] == 2


def test_what_touchline_told_of_the_real_plays_counts_for_nothing() -> None:
    one = trigger(T0, place=1)
    until = {"for": "9d", "until": {"event": "touchline.email.sent"}}
    told = Event(
        id="d", source="touchline", type="touchline.email.sent", account="acme", time=account(T0 + 1).time,
        data={"play": play_id(one.id, "book")},
    )  # fmt: skip
    log = MemoryLog([account(), event("it", T0), told, event("other", T0 + DAY)])
    played, _ = rehearse(book(steps=[{"wait": until}, MAIL]), [one], log)
    assert steps_of(played) == []
    played, _ = rehearse(
        book(steps=[MAIL, {"wait": until}, FINAL]), [one], log
    )  # the rehearsal's own mail does
    assert [step for step, _, _ in steps_of(played)] == ["0", "2"]


def test_suppressed_addresses_get_nothing() -> None:
    log = MemoryLog([account(), event("it", T0)])
    asked: list[tuple[str, str]] = []

    def suppressed(address: str, topic: str) -> bool:
        asked.append((address, topic))
        return address == "ann@acme.test"

    everybody = book(topic="news", steps=[{"email": {"template": "hello", "to": "all"}}])
    _, report = rehearse(everybody, [trigger(T0, place=1)], log, suppressed=suppressed)
    assert report["actions"]["email"] == 1
    assert report["skipped"] == {"suppressed": 1}
    assert report["recipients"]["busiest"] == [{"recipient": "bob@acme.test", "emails": 1}]
    assert [one["recipient"] for one in report["samples"]] == ["bob@acme.test"]
    assert {topic for _, topic in asked} == {"news"}
    owner = book(steps=[{"email": {"template": "hello", "to": "owner"}}])
    _, report = rehearse(owner, [trigger(T0, place=1)], log, suppressed=lambda *_: True)
    assert report["actions"]["email"] == 1  # a colleague cannot unsubscribe


def test_the_erased_are_passed_over() -> None:
    gone = event("account.deleted", T0 + DAY)
    log = MemoryLog([account(), event("it", T0), gone, account(T0 + DAY), event("it", T0 + 2 * DAY)])
    triggers = [trigger(T0, place=1), trigger(T0 + 2 * DAY, place=4)]
    renderer = Renderer()
    played, report = rehearse(book(steps={"low": [MAIL]}), triggers, log, renderer=renderer)
    assert list(statuses(played)) == [triggers[1].id]
    assert report["actions"]["email"] == 1
    assert renderer.asked == [("acme", "0")]
    _, report = rehearse(book(), triggers[:1], MemoryLog([account(), event("it", T0), gone]))
    assert report["plays"] == 0
    assert report["actions"]["task"] == 0


def test_an_erased_contact_is_in_no_figure_and_no_sample() -> None:
    gone = event("contact.deleted", T0 + DAY, contact="ann")
    log = MemoryLog([account(), event("it", T0), gone])
    everybody = book(steps=[{"email": {"template": "hello", "to": "all"}}])
    _, report = rehearse(everybody, [trigger(T0, place=1)], log)
    assert report["recipients"]["busiest"] == [{"recipient": "bob@acme.test", "emails": 1}]
    assert "ann@acme.test" not in str(report)
    _, report = rehearse(everybody, [trigger(T0, place=1, contact="ann")], log)
    assert report["plays"] == 0


def test_every_shape_is_rendered_and_a_failure_names_account_and_step() -> None:
    names = [f"a{n}" for n in range(40)]
    events = [
        account(
            T0,
            name,
            attributes={"seats": n} if n % 10 else {},
            contacts=[{"id": "ann", "email": f"ann@{name}.test"}],
        )
        for n, name in enumerate(names)
    ]
    log = MemoryLog([*events, event("other", T0 + DAY)])
    triggers = [trigger(T0, place=n, account=name) for n, name in enumerate(names)]

    def fails(job: Any) -> bool:
        return "seats" not in job.draft.context["account"]["attributes"]

    renderer = Renderer(fails)
    _, report = rehearse(book(steps={"low": [MAIL]}), triggers, log, renderer=renderer)
    wanted = [{"account": f"a{n}", "step": "0", "message": "no such name"} for n in (0, 10, 20, 30)]
    assert report["errors"] == wanted
    assert report["actions"]["email"] == 36
    assert report["recipients"]["people"] == 36
    assert len(renderer.asked) == 4 + 5  # each failing one, and the others' samples
    assert [one["account"] for one in report["samples"]] == ["a1", "a2", "a3", "a4", "a5"]


def test_an_account_that_loses_a_value_is_rendered_again() -> None:
    bare = event("account.updated", T0 + HOUR, data={"attributes": {"seats": None}}, id="bare")
    log = MemoryLog([account(attributes={"seats": 3}), event("it", T0), bare, event("it", T0 + DAY)])
    triggers = [trigger(T0, place=1), trigger(T0 + DAY, place=3)]
    renderer = Renderer(lambda job: "seats" not in job.draft.context["account"]["attributes"])
    _, report = rehearse(book(steps={"low": [MAIL]}), triggers, log, renderer=renderer)
    assert report["actions"]["email"] == 1
    assert len(report["errors"]) == 1


@pytest.mark.parametrize(
    ("key", "filled"),
    [
        ("call {{ trigger.key }}, {{account.id}}", "call 88, acme"),
        ("{{ trigger.value }}", "7"),
        ("{{ trigger.key | upper }}", None),
        ("{{ trigger.contact }}", None),  # empty for null, so the renderer has to say
        ("{{ account.attributes.ratio }}", None),
        ("{{ nothing.there }}", None),
        ("{% if tier %}x{% endif %}{{ trigger.key }}", None),
        ("{{ trigger.key }}{# note #}", None),
    ],
)
def test_a_plain_key_is_filled_in_as_the_renderer_would(key: str, filled: str | None) -> None:
    context: dict[str, Any] = {
        "trigger": {"key": "88", "value": 7, "contact": None},
        "account": {"id": "acme", "attributes": {"ratio": 0.5}},
        "tier": "low",
    }
    assert plain_key(key, context) == filled
    if filled is not None:
        assert sandbox.PLAIN.render(key, context) == filled


def test_a_step_that_no_play_reaches_is_rendered_for_a_real_trigger() -> None:
    log = MemoryLog([account(), event("it", T0)])
    tiers = book(steps={"low": [MAIL, {"wait": "9d"}, FINAL], "high": [{"task": {"title": "Call"}}]})
    renderer = Renderer(lambda job: job.draft.step == "2" or job.draft.tier == "high")
    _, report = rehearse(tiers, [trigger(T0, place=1)], log, renderer=renderer)
    assert renderer.asked == [("acme", "0"), ("acme", "0"), ("acme", "2")]
    assert [(one["account"], one["step"]) for one in report["errors"]] == [("acme", "0"), ("acme", "2")]
    assert report["actions"] == {"email": 1, "task": 0, "webhook": 0}
    assert len(report["samples"]) == 1  # what nobody gets is no sample


def in_french(**fields: Any) -> TemplateIn:
    variants = {tag: {"subject": tag, "markdown": "m"} for tag in ("fr", "de")}
    return TemplateIn.model_validate(
        {"name": "hello", "subject": "s", "markdown": "m", "variants": variants, **fields}
    )


def test_each_variant_is_rendered_at_least_once_for_a_real_trigger() -> None:
    people = [{"id": name, "email": f"{name}@acme.test", "locale": "fr-CA"} for name in ("ann", "bob")]
    log = MemoryLog([account(contacts=people), event("it", T0)])
    asked: list[str] = []

    def fails(job: Any) -> bool:
        asked.append(variant_in(job.draft))
        return asked[-1] == "de"

    everybody = book(steps={"low": [{"email": {"template": "hello", "to": "all"}}]})
    fired = [trigger(T0, place=1)]
    _, report = rehearse(everybody, fired, log, templates=[in_french()], renderer=Renderer(fails))
    assert asked == ["fr", "fr", "", "de"]
    assert report["actions"]["email"] == 2  # those whom nobody is are not counted
    assert report["errors"] == [{"account": "acme", "step": "0", "message": "no such name"}]
    assert len(report["samples"]) == 2


def test_a_colleague_reads_no_variant() -> None:
    log = MemoryLog(
        [account(contacts=[{"id": "ann", "email": "ann@acme.test", "locale": "fr"}]), event("it", T0)]
    )
    renderer = Renderer()
    owner = book(steps={"low": [{"email": {"template": "hello", "to": "owner"}}]})
    rehearse(owner, [trigger(T0, place=1, contact="ann")], log, templates=[in_french()], renderer=renderer)
    assert renderer.asked == [("acme", "0")]


def test_samples_are_of_different_tiers() -> None:
    names = [(f"{tier}{n}", tier) for n in range(4) for tier in ("low", "tech", "high")]
    log = MemoryLog([account(T0, name) for name, _ in names])
    triggers = [trigger(T0, place=n, account=name, tier=tier) for n, (name, tier) in enumerate(names)]
    _, report = rehearse(book(steps=[MAIL, MAIL]), triggers, log)
    assert [one["account"] for one in report["samples"]] == ["high0", "low0", "tech0", "high0", "low0"]
    assert report["samples"][0] == {
        "account": "high0", "recipient": "ann@acme.test", "subject": "for high0", "text": "t", "html": "h",
    }  # fmt: skip


def test_an_unknown_template_is_an_error_and_no_mail() -> None:
    log = MemoryLog([account(), event("it", T0)])
    _, report = rehearse(book(steps=[MAIL]), [trigger(T0, place=1)], log, templates=[])
    assert report["errors"] == [{"account": "acme", "step": "0", "message": "there is no template 'hello'"}]
    assert report["actions"]["email"] == 0


def test_a_held_out_account_gets_nothing() -> None:
    names = [f"a{n}" for n in range(60)]
    log = MemoryLog([account(T0, name) for name in names])
    triggers = [trigger(T0, place=n, account=name) for n, name in enumerate(names)]
    goal = {"event": "paid", "within": "7d"}
    _, report = rehearse(book(steps=[MAIL], holdout=50, goal=goal), triggers, log)
    assert report["by_status"]["held_out"] + report["actions"]["email"] == 60
    assert 10 < report["by_status"]["held_out"] < 50


def test_a_merged_account_ends_its_plays() -> None:
    closing = Moved(account="acme", position=Position(0, 2), closed=Closing(into="beta"))
    taken = Absorbed(account="acme", names={"acme": ["cy"]}, contacts=[Contact(id="cy", email="cy@b.test")])
    absorbed = Moved(account="beta", position=Position(0, 3), absorbed=taken)
    records = [account(), event("it", T0), event("merge", T0), event("it", T0, "beta"), event("x", T0 + DAY)]
    log = MemoryLog(records, [closing, absorbed])
    triggers = [trigger(T0, place=1), trigger(T0, place=4, account="beta")]
    played, report = rehearse(book(steps=[{"wait": "1h"}, MAIL]), triggers, log)
    assert statuses(played)[triggers[0].id] == ("exited", "account_merged")
    assert report["recipients"]["busiest"] == []
    assert report["by_status"]["open"] == 1


def test_an_import_without_times_holds_from_the_first_record_on() -> None:
    import_day = T0 + 90 * DAY
    late = replace(account(import_day), historical=True, undated=True)
    past = [event("it", T0 + n * HOUR, historical=True) for n in range(3)]
    one = trigger(T0 + HOUR, place=2)
    log = MemoryLog([late, *past])
    played, _ = rehearse(book(steps=[MAIL, {"wait": "2h"}, MAIL]), [one], log)
    assert steps_of(played) == [("0", "ann@acme.test", "2026-01-01T01:00:00Z")]  # the clock stands at 02:00


def test_an_import_without_times_of_a_live_account_holds_from_its_first_record_on() -> None:
    import_day = T0 + 90 * DAY
    late = replace(account(import_day, "beta"), historical=True, undated=True)
    log = MemoryLog([account(), event("it", T0), event("it", T0 + DAY, "beta"), late])
    triggers = [trigger(T0, place=1), trigger(T0 + DAY, place=2, account="beta")]
    played, _ = rehearse(book(steps=[MAIL]), triggers, log)
    assert steps_of(played) == [
        ("0", "ann@acme.test", "2026-01-01T00:00:00Z"),
        ("0", "ann@acme.test", "2026-01-02T00:00:00Z"),
    ]


def test_with_the_wall_clock_a_time_far_ahead_is_that_of_receipt() -> None:
    log = MemoryLog([account(), event("it", T0), event("x", T0 + 400 * DAY)])
    lane = log._lanes["touchline.events", 0]
    lane[2] = replace(lane[2], timestamp=T0 + HOUR)
    late = book(steps=[{"wait": "30d"}, MAIL])
    played, _ = rehearse(late, [trigger(T0, place=1)], log, wall=True)
    assert steps_of(played) == []
    played, _ = rehearse(late, [trigger(T0, place=1)], log)
    assert len(steps_of(played)) == 1


def test_more_actions_than_can_be_kept_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "MAX_ACTIONS", 1)
    log = MemoryLog([account(), event("it", T0)])
    with pytest.raises(TooManyActions, match="rehearse fewer triggers"):
        rehearse(book(steps=[MAIL, MAIL]), [trigger(T0, place=1)], log)
    assert errors.MAX_ACTIONS > 1


def test_no_triggers_no_plays() -> None:
    _, report = rehearse(book(), [], MemoryLog([account()]))
    assert report["plays"] == 0
    assert report["recipients"] == {"people": 0, "most": 0, "p95": 0, "busiest": []}
    assert [report[name] for name in ("by_day", "assignees", "samples", "errors")] == [[], [], [], []]
