"""What people do in a scenario: each as on a server, and a scenario without it comes out otherwise."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.documents import FileProblems
from services.cli.scenario import run

JSON = dict[str, Any]
RULE = {
    "kind": "rule", "name": "spike", "playbook": "call", "cooldown": "0s",
    "when": {"threshold": {"event": "ticket", "within": "1d", "at_least": 1}},
}  # fmt: skip
BOOK: JSON = {
    "kind": "playbook", "name": "call", "exit_when": {"event": "paid"}, "held_for": "5d",
    "steps": [{"id": "ring", "task": {"title": "Call"}}, {"wait": "1d"}, {"id": "write", "task": {"title": "Write"}}],
}  # fmt: skip


def at(day: int, hour: int = 0) -> str:
    return f"2026-01-{day:02}T{hour:02}:00:00Z"


def ticket(day: int, account: str = "acme", type_: str = "ticket", hour: int = 0) -> JSON:
    return {"at": at(day, hour), "account": account, "type": type_}


def act(day: int, hour: int = 0, **what: Any) -> JSON:
    return {"at": at(day, hour), **what}


def task(step: str, day: int, account: str = "acme", hour: int = 0) -> JSON:
    return {"account": account, "channel": "task", "step": step, "at": at(day, hour)}


def differences(folder: Path, by_hand: list[JSON], events: list[JSON], **expect: Any) -> list[Any]:
    (folder / "documents.yaml").write_text(yaml.safe_dump_all([RULE, BOOK]))
    owner = {"tier": "low", "owner": {"email": "jo@us.test"}}
    test = {
        "load": ["documents.yaml"], "accounts": {"acme": owner, "beta": owner}, "events": events,
        "by_hand": by_hand, "until": at(20), "expect": expect,
    }  # fmt: skip
    file = folder / "call.test.yaml"
    file.write_text(yaml.safe_dump(test))
    return run(file, None)


def check(folder: Path, by_hand: list[JSON], events: list[JSON], **expect: Any) -> None:
    """It comes out as expected, and without the last of what people do it does not."""
    assert differences(folder, by_hand, events, **expect) == []
    assert differences(folder, by_hand[:-1], events, **expect) != []


def test_a_paused_playbook_holds_new_plays_and_open_ones_stand_still(tmp_path: Path) -> None:
    check(
        tmp_path,
        [act(1, 12, pause="call")],
        [ticket(1), ticket(2, "beta")],
        plays=[
            {"account": "acme", "status": "open", "step": "1"},
            {"account": "beta", "status": "skipped", "reason": "held_too_long"},
        ],
        actions=[task("ring", 1)],
    )


def test_what_is_released_begins_then_and_what_stood_still_goes_on(tmp_path: Path) -> None:
    check(
        tmp_path,
        [act(1, 12, pause="call"), act(4, resume={"playbook": "call", "held": "release"})],
        [ticket(1), ticket(2, "beta")],
        plays=[
            {"account": "acme", "status": "finished"},
            {"account": "beta", "status": "finished", "at": at(4)},
        ],
        actions=[task("ring", 1), task("write", 4), task("ring", 4, "beta"), task("write", 5, "beta")],
    )


def test_what_is_discarded_never_begins(tmp_path: Path) -> None:
    check(
        tmp_path,
        [act(1, 12, pause="call"), act(4, resume={"playbook": "call", "held": "discard"})],
        [ticket(2), ticket(5)],
        plays=[
            {"account": "acme", "status": "skipped", "reason": "discarded"},
            {"account": "acme", "status": "finished", "at": at(5)},
        ],
        actions=[task("ring", 5), task("write", 6)],
    )


@pytest.mark.parametrize("other", ["beta", "acme"])
def test_one_play_is_released_and_the_others_stay_held(tmp_path: Path, other: str) -> None:
    left = "acme" if other == "beta" else "beta"
    check(
        tmp_path,
        [act(1, 12, pause="call"), act(3, release={"playbook": "call", "account": other})],
        [ticket(2), ticket(2, "beta")],
        plays=[
            {"account": other, "status": "finished", "at": at(3)},
            {"account": left, "status": "skipped", "reason": "held_too_long"},
        ],
        actions=[task("ring", 3, other), task("write", 4, other)],
    )


def test_one_that_stands_still_is_released(tmp_path: Path) -> None:
    check(
        tmp_path,
        [act(1, 12, pause="call"), act(3, release={"playbook": "call", "account": "acme"})],
        [ticket(1)],
        plays=[{"account": "acme", "status": "finished"}],
        actions=[task("ring", 1), task("write", 3)],
    )


def test_one_play_is_discarded_and_its_place_is_free(tmp_path: Path) -> None:
    check(
        tmp_path,
        [
            act(1, 12, pause="call"), act(4, resume={"playbook": "call", "held": "release"}),
            act(3, discard={"playbook": "call", "account": "acme"}),
        ],
        [ticket(2), ticket(2, "beta")],
        plays=[
            {"account": "acme", "status": "skipped", "reason": "discarded"},
            {"account": "beta", "status": "finished"},
        ],
        actions=[task("ring", 4, "beta"), task("write", 5, "beta")],
    )  # fmt: skip


def test_a_held_play_ends_with_its_exit_and_is_not_begun_after_that(tmp_path: Path) -> None:
    by_hand = [act(1, 12, pause="call"), act(4, resume={"playbook": "call", "held": "release"})]
    events = [ticket(2), ticket(3, type_="paid")]
    wanted = [{"account": "acme", "status": "exited", "reason": "exit_event"}]
    assert differences(tmp_path, by_hand, events, plays=wanted, actions=[]) == []


def test_at_a_moment_people_come_last(tmp_path: Path) -> None:
    """The event of that moment starts its play, and the wait that is over then is acted on."""
    check(
        tmp_path,
        [act(2, pause="call")],
        [ticket(1), ticket(2, "beta")],
        plays=[{"account": "acme", "status": "finished"}, {"account": "beta", "status": "open"}],
        actions=[task("ring", 1), task("write", 2), task("ring", 2, "beta")],
    )


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"pause": "cal"}, "there is no playbook 'cal' in the files"),
        ({"resume": {"playbook": "call", "held": "release"}}, "call is not paused at 2026-01-03T00:00:00Z"),
        (
            {"release": {"playbook": "call", "account": "acme"}},
            "no play of call for acme is held, or stands still",
        ),
        ({"discard": {"playbook": "call", "account": "beta"}}, "no play of call for beta is held at"),
    ],
)
def test_what_cannot_be_done_fails_the_scenario(tmp_path: Path, wrong: JSON, why: str) -> None:
    (found,) = differences(tmp_path, [act(3, **wrong)], [ticket(1)])
    assert found.what == "by_hand"
    assert found.missing == [act(3, **wrong)]
    assert why in found.why[0]


def test_pausing_twice_cannot_be_done(tmp_path: Path) -> None:
    (found,) = differences(tmp_path, [act(2, pause="call"), act(3, pause="call")], [])
    assert "call is paused already" in found.why[0]


@pytest.mark.parametrize("wrong", [{}, {"pause": "call", "resume": {"playbook": "call", "held": "release"}}])
def test_a_person_does_one_thing_at_a_time(tmp_path: Path, wrong: JSON) -> None:
    with pytest.raises(
        FileProblems, match=r"by_hand\.0: .*one of pause, resume, release, discard, approve and reject"
    ):
        differences(tmp_path, [act(3, **wrong)], [])
