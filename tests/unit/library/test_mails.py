"""Every mail and task of the library as its scenarios bring it forth: with all that we know of a customer, and with
next to nothing."""

from __future__ import annotations

import re

import pytest

from services.actions.plays.memory_rows import MemoryAction
from tests.unit.library.files import LIBRARY, ROWS, documents, playbook_of, steps_of, tiers_of
from tests.unit.library.world import acted, nameless, prepared, scenarios

HEADER = 60  # characters of a subject that nearly every program shows
UNFILLED = re.compile(r"\bNone\b|\bnull\b|\{\{|\{%|[Ll]orem|\[[A-Z ]+\]|example\.")
ELSEWHERE = re.compile(r"https?://(?!us\.test/u/1\b)")  # but for the link to unsubscribe
ONES = re.compile(r"\b1 (?:seats|days|times|uses|people|tickets|outages|features|projects)\b")
SHOUTED = re.compile(r"[!…]|\bASAP\b")


def _acted(row: str, *, bare: bool) -> list[MemoryAction]:
    found = []
    for file in scenarios():
        if file.parent.name == row:
            scenario, docs = prepared(file)
            found += acted(nameless(scenario) if bare else scenario, docs)
    return [one for one in found if one.playbook == row and one.status == "done"]


ACTED = {(row, bare): _acted(row, bare=bare) for row in ROWS for bare in (False, True)}
MAILS = [
    pytest.param(one, bare, id=f"{one.template}-{one.account}-{'bare' if bare else 'known'}")
    for (_, bare), found in ACTED.items()
    for one in found
    if one.channel == "email"
]
TASKS = [
    pytest.param(one, id=f"{one.playbook}-{one.step}-{one.account}-{'bare' if bare else 'known'}")
    for (_, bare), found in ACTED.items()
    for one in found
    if one.channel == "task"
]


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("bare", [False, True], ids=["known", "bare"])
def test_the_scenarios_bring_forth_every_mail_and_task(row: str, *, bare: bool) -> None:
    steps = {
        (tier, step["id"])
        for tier, listed in tiers_of(playbook_of(row)).items()
        for step in steps_of(listed)
        if "email" in step or "task" in step
    }
    tier_of = {
        name: body["tier"]
        for file in scenarios()
        if file.parent.name == row
        for name, body in documents(file)[0]["accounts"].items()
    }
    assert steps == {(tier_of[one.account], one.step) for one in ACTED[row, bare] if one.channel != "webhook"}


@pytest.mark.parametrize(("mail", "bare"), MAILS)
def test_a_mail_greets_says_what_to_do_and_is_signed_by_the_owner(mail: MemoryAction, *, bare: bool) -> None:
    text = mail.rendered["text"]
    letter = text.split("\n-- \n")[0].strip().split("\n\n")
    assert letter[0] == ("Hi there," if bare else "Hi Ann,")
    assert letter[-1] == ("Your customer success team" if bare else "Jo Park")
    assert len(letter) >= 4  # greeting, what we saw, what to do, name
    assert letter[1][0].isupper() or letter[1][0].isdigit()
    assert len(text.split("\n-- \n")[0].split()) <= 150  # nobody reads more


@pytest.mark.parametrize(("mail", "bare"), MAILS)
def test_a_mail_has_both_parts_and_nothing_unfilled(mail: MemoryAction, *, bare: bool) -> None:
    subject, text = mail.rendered["subject"], mail.rendered["text"]
    assert len(subject) <= HEADER
    assert subject[0].isupper() or subject[0].isdigit()
    for part in (subject, text, mail.rendered["html"]):
        assert not UNFILLED.search(part)
        assert not ELSEWHERE.search(part)
    assert not SHOUTED.search(subject + text)
    assert not ONES.search(subject + text)
    assert "<html" in mail.rendered["html"]
    assert "  " not in subject
    assert not re.search(r"\S  |\s[.,:;?]", text)


@pytest.mark.parametrize("bare", [False, True], ids=["known", "bare"])
def test_who_has_no_seat_left_is_not_told_that_some_are(*, bare: bool) -> None:
    told = {
        one.rendered["subject"]: "no seat left" in one.rendered["text"]
        for one in ACTED["expansion", bare]
        if one.step == "room" and "seats" in one.rendered["subject"]
    }
    assert told == {"86% of your seats are in use": False, "100% of your seats are in use": True}


@pytest.mark.parametrize("bare", [False, True], ids=["known", "bare"])
def test_who_uses_no_feature_is_not_told_of_those_not_used_yet(*, bare: bool) -> None:
    told = {
        "used none of" in one.rendered["text"]: "The ones you don't use yet" in one.rendered["text"]
        for one in ACTED["consumption-gap", bare]
        if one.step == "training"
    }
    assert told == {True: False, False: True}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_a_title_and_says_more(task: MemoryAction) -> None:
    title, body = task.rendered["title"], task.rendered["body"]
    assert len(title) <= 100
    assert title[0].isupper()
    assert not title.endswith(".")
    assert body
    assert body[0].isupper() or body[0].isdigit()
    assert body.endswith((".", '."'))
    for text in (title, body):
        assert not UNFILLED.search(text)
        assert not SHOUTED.search(text)
        assert not ONES.search(text)
        assert not re.search(r"  |\s[.,:;?]", text)


def test_no_file_of_the_library_holds_an_address_of_others() -> None:
    for path in LIBRARY.rglob("*.yaml"):
        for address in re.findall(r"https?://[^\s/\"')]+", path.read_text(encoding="utf-8")):
            assert address.endswith(".test"), f"{path}: {address}"
        assert "example." not in path.read_text(encoding="utf-8"), path
