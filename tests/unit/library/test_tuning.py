"""Whoever tunes a rule or a wait never makes a text lie: the old number stands in no mail and no task any more.

Every number of a rule and of its playbook is tuned at once, and whatever is rendered then is searched for the numbers
as they were, in digits and in words, but for those that are true by chance.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest

from services.actions.rendering.compose import answer
from services.actions.rendering.filters import duration, percent
from services.actions.rendering.jobs import Body, Mail, MailJob, TextJob
from services.actions.rendering.sandbox import PLAIN
from tests.unit.library.files import JSON, LIBRARY, ROWS, documents, playbook_of
from tests.unit.library.tuned import Moment, moments, numbers, tuned

WORDS = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}
ALIKE = {
    "1d": ("a day", "tomorrow", "yesterday"), "7d": ("a week", "one week"), "14d": ("two weeks", "a fortnight"),
    "21d": ("three weeks",), "28d": ("four weeks",), "30d": ("a month", "one month"), "60d": ("two months",),
    "90d": ("three months", "a quarter", "quarterly"), "120d": ("four months",),
    "3mo": ("a quarter", "quarterly"), "6mo": ("half a year", "half-year", "twice a year"), "1y": ("yearly", "annual"),
}  # fmt: skip
DATES = re.compile(r"\d{1,2} [A-Z][a-z]+ \d{4}")


def forms(number: Any) -> set[str]:
    """How a number of a rule or playbook might stand in a text."""
    if isinstance(number, float):
        return {percent(number), f"{percent(number)[:-1]} per", str(number)}
    if isinstance(number, int):  # of a count of one there is nothing to be said
        return set() if number == 1 else {str(number), *WORDS[number : number + 1]}
    found = re.fullmatch(r"(\d+)([a-z]+)", number)
    assert found is not None
    count, unit = int(found[1]), UNITS[found[2]]
    counts = [str(count), *WORDS[count : count + 1]]
    spoken = {f"{one}{link}{unit}{s}" for one in counts for link in " -" for s in ("", "s")}
    return {*spoken, *ALIKE.get(number, ())}


def said_of(moment: Moment, row: str) -> str:
    """What people read of a mail or task, without dates: those come from the account and from events."""
    if moment.template is not None:
        templates = {one["name"]: one for one in documents(LIBRARY / row / "templates.yaml")}
        source = templates[moment.template]
        given = answer(
            MailJob(
                subject=source["subject"], markdown=source["markdown"], context=moment.scope, sent_by="Jo"
            )
        )
        assert isinstance(given, Mail), given
        text = given.subject + "\n" + given.text.split("\n-- \n")[0]
    else:
        assert moment.task is not None
        body = {"title": moment.task["title"], "body": moment.task["body"]}
        filled = answer(TextJob(body=body, context=moment.scope))
        assert isinstance(filled, Body), filled
        text = filled.body["title"] + "\n" + filled.body["body"]
    return " ".join(DATES.sub("", text).split())


def true_by_chance(moment: Moment) -> set[str]:
    """What may be said at that moment, though it looks like an old number."""
    trigger, now = moment.scope["trigger"], moment.scope["now"]
    times = [trigger["at"], trigger["event"]["time"], *moment.scope["account"]["attributes"].values()]
    spans = {
        (datetime.fromisoformat(now) - datetime.fromisoformat(one)).days
        for one in times
        if isinstance(one, str)
    }
    told = {f"{abs(days)}d" for days in spans} | {trigger["value"], trigger["threshold"]} - {None}
    told |= {trigger["event"]["data"]["score"]}
    relative = {
        PLAIN.render("{{ trigger.at | relative }}", {**moment.scope, "trigger": {"at": one}})
        for one in times
        if isinstance(one, str)
    }
    window = {str(duration(trigger["window"]))} if trigger["window"] else set()
    return {form for one in told for form in forms(one)} | relative | window


def found(text: str, form: str) -> bool:
    """Whether a form stands in a text as a word of its own."""
    return re.search(rf"(?<![\w.,-]){re.escape(form)}(?!\w|[.,]\d)", text, re.IGNORECASE) is not None


PAIRS = [
    pytest.param(row, rule, id=rule["name"])
    for row in ROWS
    for rule in documents(LIBRARY / row / "rule.yaml")
]


@pytest.mark.parametrize(("row", "rule"), PAIRS)
def test_no_text_keeps_a_number_that_was_tuned(row: str, rule: JSON) -> None:
    playbook = playbook_of(row)
    old = {form for number in numbers([rule, playbook]) for form in forms(number)}
    read = 0
    for moment in moments(tuned(rule), tuned(playbook)):
        text = said_of(moment, row)
        read += 1
        kept = [form for form in sorted(old - true_by_chance(moment)) if found(text, form)]
        assert kept == [], f"{moment.tier} {moment.step}: {text}"
    assert read


@pytest.mark.parametrize(("row", "rule"), PAIRS)
def test_as_it_stands_every_text_can_be_rendered(row: str, rule: JSON) -> None:
    rendered = [said_of(moment, row) for moment in moments(rule, playbook_of(row))]
    assert rendered
    assert all("None" not in text for text in rendered)


@pytest.mark.parametrize("row", ROWS)
def test_what_describes_a_rule_or_a_playbook_names_none_of_its_numbers(row: str) -> None:
    """But for the due dates, which are compared with the steps."""
    rules = documents(LIBRARY / row / "rule.yaml")
    said = [rule["description"] for rule in rules] + [playbook_of(row)["description"].split("Owner:")[0]]
    for form in {form for number in numbers([rules, playbook_of(row)]) for form in forms(number)}:
        assert not [text for text in said if found(text, form)], form


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Three days on, the payment is still open.", "3d"),
        ("Nothing for 14 days.", "14d"),
        ("Two months without you", "60d"),
        ("Seven connections in a row", 7),
        ("at most 40% of them", 0.4),
        ("A week has passed.", "7d"),
    ],
)
def test_the_search_finds_what_it_is_for(text: str, number: Any) -> None:
    assert any(found(text, form) for form in forms(number))
    assert not any(found(text, form) for form in forms("23h"))


def test_the_search_passes_over_parts_of_other_numbers() -> None:
    assert not any(found("1,010 of 10.5, A-10, 210", form) for form in forms(10))
