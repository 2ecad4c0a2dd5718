"""Digests that are probably wrong, and those that are right."""

from typing import Any

import pytest

from schemas.lint.outline import outline_playbook, outline_rule, outline_template
from schemas.lint.single import lint_playbook
from schemas.lint.together import lint_together, told
from schemas.playbook import PlaybookIn
from schemas.rule import RuleIn
from schemas.template import TemplateIn

LIST: dict[str, Any] = {"template": "list", "to": "owner", "at": "09:00"}
RULE = RuleIn.model_validate(
    {"name": "r", "when": {"threshold": {"event": "a", "at_least": 1}}, "playbook": "book"}
)


def book(*steps: dict[str, Any], **fields: Any) -> PlaybookIn:
    return PlaybookIn.model_validate({"name": "book", "steps": list(steps), **fields})


@pytest.mark.parametrize(
    ("steps", "fields", "doubted"),
    [
        ([{"digest": LIST}], {}, []),
        ([{"digest": LIST}, {"digest": LIST}], {}, []),
        ([{"digest": LIST}, {"digest": {**LIST, "at": "10:00"}}], {}, ["steps.1.digest.at"]),
        ([{"digest": LIST}, {"digest": {**LIST, "at": "10:00", "to": "contact"}}], {}, []),
        ([{"digest": LIST}, {"digest": {**LIST, "at": "10:00", "key": "other"}}], {}, []),
        (
            [{"digest": {**LIST, "key": "k"}}, {"digest": {**LIST, "template": "b", "key": "k"}}],
            {},
            ["steps.1.digest.template"],
        ),
        (
            [{"digest": {**LIST, "days": ["mon", "tue"]}}, {"digest": {**LIST, "days": ["tue", "mon"]}}],
            {},
            [],
        ),
        ([{"digest": {**LIST, "key": " \t"}}], {}, ["steps.0.digest.key"]),
        ([{"digest": {**LIST, "key": " k "}}], {}, []),
        ([{"email": {"template": "m", "to": "owner", "within": "12h"}}], {}, ["steps.0.email.within"]),
        ([{"email": {"template": "m", "to": "jo@us.test", "within": "12h"}}], {}, ["steps.0.email.within"]),
        ([{"email": {"template": "m", "to": "owner", "within": "9d", "approve": True}}], {}, []),
        ([{"email": {"template": "m", "to": "role:admin", "within": "12h"}}], {}, []),
        ([{"email": {"template": "m", "to": "owner"}}], {}, []),
        ([{"digest": LIST}], {"exit_when": {"event": "touchline.play.finished"}}, ["exit_when"]),
        ([{"digest": LIST}], {"exit_when": [{"event": "paid"}]}, []),
        ([{"task": {"title": "t"}}], {"exit_when": {"event": "touchline.play.finished"}}, []),
        ([{"task": {"title": "{{ items | length }} {{ more }}"}}], {}, ["steps.0.task.title"] * 2),
        ([{"task": {"title": "{{ trigger.event.data['items'] }}"}}], {}, []),
        (
            [{"task": {"title": "{% for items in account.contacts %}{{ items.id }}{% endfor %}"}}],
            {},
            [],
        ),
    ],
)
def test_by_itself(steps: list[dict[str, Any]], fields: dict[str, Any], doubted: list[str]) -> None:
    assert [one["field"] for one in lint_playbook(book(*steps, **fields))] == doubted


def warned(step: dict[str, Any], markdown: str) -> list[tuple[str, str]]:
    """What is told of the playbook and of the template, by field and kind."""
    template = TemplateIn(name="list", subject="s", markdown=markdown)
    outlines = outline_playbook(book(step)), outline_template(template)
    found = list(
        lint_together([outline_rule(RULE)], {"book": outlines[0]}, {"list": outlines[1]}),
    )
    return [
        (kind, one["message"])
        for kind, name in (("playbook", "book"), ("template", "list"))
        for one in told(found, kind, name)
    ]


GOOD = (
    "{% for item in items %}{{ item.account.name }}{% endfor %}{{ more }}{{ owner.name }}{{ contact.name }}"
)


@pytest.mark.parametrize(
    ("step", "markdown", "said"),
    [
        ({"digest": LIST}, GOOD, None),
        ({"digest": LIST}, "Good morning", "does not use items"),
        ({"digest": LIST}, GOOD + "{{ account.name }}", "item.account"),
        ({"digest": LIST}, GOOD + "{{ trigger.at }}", "item.trigger"),
        ({"digest": LIST}, GOOD + "{{ tier }}", "item.account.tier"),
        ({"email": {"template": "list"}}, "{{ account.name }} {{ trigger.at }} {{ tier }}", None),
        ({"email": {"template": "list"}}, GOOD, "only a digest has it"),
    ],
)
def test_the_template_fits_the_step(step: dict[str, Any], markdown: str, said: str | None) -> None:
    found = warned(step, markdown)
    assert {kind for kind, _ in found} == ({"playbook", "template"} if said else set())
    assert said is None or any(said in message for _, message in found)
