"""What documents are told about one another, and what must not be said."""

from typing import Any

import pytest

from schemas.lint.outline import outline_playbook, outline_rule, outline_template
from schemas.lint.single import lint_playbook, lint_template
from schemas.lint.template_names import FIELDS, trigger_names, unknown_names
from schemas.lint.together import SharedWarning, lint_together
from schemas.playbook import PlaybookIn
from schemas.profile import Contact, Owner, Profile
from schemas.rule import RuleIn
from schemas.template import TemplateIn
from services.actions.plays.template_context import (
    account_document,
    contact_document,
    owner_document,
    trigger_document,
)
from tests.unit.plays.kit import T0, trigger

COUNT = {"threshold": {"event": "ticket.opened", "within": "30d", "at_least": 3}}
ABSENCE = {"absence": {"event": "login", "for": "30d"}}
DATE = {"date": {"attribute": "account.attributes.renewal", "before": "30d"}}
TREND = {"trend": {"event": "login", "over": "7d", "baseline": "28d", "falls_by": 30}}
FEW = {"threshold": {"event": "login", "within": "30d", "at_most": 2}}
BECOMES = {"becomes": {"is": {"account.attributes.health": {"lt": 50}}}}
CALL = {"task": {"title": "Call"}}


def rule(name: str = "spike", **fields: Any) -> RuleIn:
    return RuleIn.model_validate({"name": name, "when": COUNT, "playbook": "outreach", **fields})


def book(steps: Any, **fields: Any) -> PlaybookIn:
    return PlaybookIn.model_validate({"name": "outreach", "steps": steps, **fields})


def mail(markdown: str, **fields: Any) -> TemplateIn:
    return TemplateIn.model_validate({"name": "hello", "subject": "Hi", "markdown": markdown, **fields})


def told(
    rules: list[RuleIn], playbook: PlaybookIn | None, template: TemplateIn | None = None
) -> set[SharedWarning]:
    """Every view of every doubt, hashable."""
    books = {} if playbook is None else {playbook.name: outline_playbook(playbook)}
    mails = {} if template is None else {template.name: outline_template(template)}
    found = lint_together([outline_rule(one) for one in rules], books, mails)
    return {(v.kind, v.name, v.doubt["field"], v.doubt["message"]) for one in found for v in one}


def fields(
    rules: list[RuleIn], playbook: PlaybookIn, template: TemplateIn | None = None
) -> set[tuple[str, str]]:
    """Which field of which kind of document is doubted."""
    return {(view[0], view[2]) for view in told(rules, playbook, template)}


def test_a_tier_without_steps() -> None:
    both = {"high": 3, "low": 4}
    when = {"threshold": {**COUNT["threshold"], "at_least": both}}
    assert told([rule(when=when)], book({"high": [CALL]})) == {
        ("playbook", "outreach", "steps", "the rule spike covers the tier low, for which there are no steps"),
        ("rule", "spike", "playbook", "outreach has no steps for the tier low, which the rule covers"),
    }
    assert not told([rule(when=when)], book({"high": [CALL], "low": []}))
    assert not told([rule(when=when)], book([CALL]))
    assert not told([rule(when=when, playbook="other")], book({"high": [CALL]}))
    assert not told([rule(when=when)], None)


@pytest.mark.parametrize("cooldown", ["2d", None])
def test_a_wait_longer_than_the_cooldown_given_or_by_default(cooldown: str | None) -> None:
    short = {"threshold": {**COUNT["threshold"], "within": "2d"}}
    doubtful = rule(when=short, cooldown=cooldown)
    assert fields([doubtful], book([CALL, {"wait": "3d"}])) == {
        ("playbook", "steps.1.wait"),
        ("rule", "cooldown"),
    }
    assert not told([doubtful], book([CALL, {"wait": "2d"}]))
    until = {"wait": {"for": "3d", "until": {"event": "meeting.held"}}}
    assert ("playbook", "steps.0.wait.for") in fields([doubtful], book([until]))
    branch = {
        "branch": {"if": {"account.attributes.arr": {"gt": 1}}, "then": [CALL], "else": [{"wait": "3d"}]}
    }
    assert ("playbook", "steps.high.0.branch.else.0.wait") in fields([doubtful], book({"high": [branch]}))


@pytest.mark.parametrize("cooldown", ["once", "0s", "3d"])
def test_no_wait_is_too_long_for_it(cooldown: str) -> None:
    assert not told([rule(cooldown=cooldown)], book([{"wait": "3d"}]))


def test_a_wait_of_a_tier_that_the_rule_does_not_cover() -> None:
    when = {"threshold": {**COUNT["threshold"], "within": "1d", "at_least": {"high": 3}}}
    assert not told([rule(when=when)], book({"high": [CALL], "low": [{"wait": "9d"}]}))


@pytest.mark.parametrize(
    ("when", "lacking"),
    [
        (COUNT, {"key", "figures"}),
        (ABSENCE, {"key", "figures", "value", "window"}),
        (BECOMES, {"key", "figures", "value", "window", "threshold"}),
        (FEW, {"key", "figures", "event", "event_id", "contact"}),
        (DATE, {"key", "figures", "event", "event_id", "contact", "value", "window"}),
        (TREND, {"key", "event", "event_id", "contact"}),
        ({"all_of": {"of": [DATE, COUNT], "within": "30d"}}, {"key", "figures"}),
    ],
)
def test_what_a_trigger_cannot_have(when: dict[str, Any], lacking: set[str]) -> None:
    names = {
        "event",
        "event_id",
        "contact",
        "key",
        "figures",
        "value",
        "window",
        "threshold",
        "rule",
        "at",
        "tier",
    }
    for name in sorted(names):
        template = mail(f"Hi {{{{ trigger.{name} }}}}")
        found = fields([rule(when=when)], book([{"email": {"template": "hello"}}]), template)
        views = {("template", "markdown"), ("playbook", "steps.0.email.template"), ("rule", "playbook")}
        assert found == (views if name in lacking else set()), name


def test_with_by_or_contacts_it_has_them() -> None:
    send = book([{"email": {"template": "hello"}}])
    assert not told([rule(by="data.invoice")], send, mail("Invoice {{ trigger.key }}"))
    assert not told([rule(when=DATE | {}, scope="contact")], send, mail("{{ trigger.contact }}"))


def test_templates_in_the_steps_and_paths_in_conditions() -> None:
    branch = {"branch": {"if": {"trigger.key": "x"}, "then": [CALL]}}
    hook = {"webhook": {"endpoint": "crm", "body": {"deep": ["{{ trigger.event.id }}"]}}}
    steps = [{"task": {"title": "Call about {{ trigger.key }}"}}, branch, hook]
    playbook = book(steps, exit_when={"event": "invoice.paid", "by": "data.invoice"})
    found = fields([rule(when=FEW)], playbook)
    assert found == {
        ("playbook", "steps.0.task.title"),
        ("playbook", "steps.1.branch.if"),
        ("playbook", "steps.2.webhook.body.deep.0"),
        ("playbook", "exit_when.by"),
        ("rule", "playbook"),
    }
    assert not told([rule(by="data.invoice")], playbook)
    asks = {"branch": {"if": {"trigger.key": {"exists": True}}, "then": [CALL]}}
    assert not told([rule()], book([asks]))


def test_rules_that_compete_for_a_playbook() -> None:
    others = told([rule("a"), rule("b"), rule("c", playbook="other")], None)
    assert {view[1] for view in others} == {"a", "b"}
    high = {"threshold": {**COUNT["threshold"], "at_least": {"high": 1}}}
    low = {"threshold": {**COUNT["threshold"], "at_least": {"low": 1}}}
    assert not told([rule("a", when=high), rule("b", when=low)], None)


@pytest.mark.parametrize(
    ("source", "needed"),
    [
        ("{{ trigger.event.data.invoice }} {{ trigger['key'] }}", {"event", "key"}),
        ("{{ trigger.key or 'yours' }} {{ trigger.value | default(3) }}", set()),
        ("{% if trigger.key and tier == 'high' %}{{ trigger.key }}{% endif %}", set()),
        ("{{ trigger.key if trigger.key is not none }}", set()),
        ("{% if trigger.event.data.get('x') %}{{ trigger.event.data.x }}{% endif %}", {"event"}),
        ("{% for trigger in [1] %}{{ trigger.key }}{% endfor %}", set()),
        ("{{ account.key }} {{ trigger }}", set()),
        ("{{ trigger.key", set()),
        ("{{ " + "(" * 5_000 + "trigger.key" + ")" * 5_000 + " }}", set()),
    ],
)
def test_the_names_that_a_template_needs(source: str, needed: set[str]) -> None:
    assert trigger_names(source) == needed


def test_names_that_nothing_can_have() -> None:
    assert [
        name for name, _ in unknown_names("{{ trigger.invoice }} {{ account.nmae }} {{ owner['mail'] }}")
    ] == [
        "account.nmae",
        "owner.mail",
        "trigger.invoice",
    ]
    fine = "{{ trigger.event.data.a }} {{ account.attributes.b }} {{ account.owner.name }} {{ trigger.event.get('x') }}"
    assert not list(unknown_names(fine))
    assert [one["field"] for one in lint_template(mail("{{ trigger.event.invoice }}"))] == ["markdown"]
    assert not lint_template(mail("{{ trigger.event.data.invoice }}"))
    wrong = book({"low": [{"task": {"title": "Call {{ contact.telephone }}"}}]})
    assert [one["field"] for one in lint_playbook(wrong)] == ["steps.low.0.task.title"]
    assert not lint_playbook(book([CALL]))


@pytest.mark.parametrize(("held_for", "doubted"), [("11h", ["held_for"]), ("12h", []), (None, [])])
def test_plays_that_are_skipped_before_anybody_sees_them(held_for: str | None, doubted: list[str]) -> None:
    playbook = book([CALL]).model_copy(update={"held_for": held_for})
    assert [one["field"] for one in lint_playbook(playbook)] == doubted


def test_the_names_are_those_that_templates_are_given() -> None:
    profile = Profile(id="a")
    profile.owner = Owner(name="Jo", email="jo@us.test")
    fired = trigger_document(trigger(T0, 0))
    given = {
        ("account",): account_document(profile, "low"),
        ("account", "owner"): account_document(profile, "low")["owner"],
        ("contact",): contact_document(Contact(id="c")),
        ("owner",): owner_document(profile),
        ("trigger",): fired,
        ("trigger", "position"): fired["position"],
        ("trigger", "event"): fired["event"],
    }
    assert {names: set(one) for names, one in given.items()} == {names: set(FIELDS[names]) for names in given}


def test_a_date_that_moves_while_a_play_goes_on() -> None:
    due = rule(when=DATE)
    path = "account.attributes.renewal"
    assert fields([due], book([CALL, {"wait": "3d"}, CALL])) == {
        ("playbook", "exit_when"),
        ("rule", "playbook"),
    }
    assert not told([due], book([CALL, {"wait": "3d"}, CALL], exit_when={"changed": path}))
    assert not told([due], book([CALL]))
    assert not told(
        [due], book([CALL, {"wait": "3d"}, CALL], exit_when=[{"event": "paid"}, {"changed": path}])
    )
    other = {"changed": "account.attributes.trial_ends"}
    assert fields([due], book([CALL, {"wait": "3d"}, CALL], exit_when=other)) == {
        ("playbook", "exit_when"),
        ("rule", "playbook"),
    }
    past = {"date": {"attribute": path, "after": "30d"}}
    assert not told([rule(when=past)], book([CALL, {"wait": "3d"}, CALL]))
    tiered = {"date": {"attribute": path, "before": {"high": "30d"}}}
    assert not told([rule(when=tiered)], book({"high": [CALL], "low": [CALL, {"wait": "3d"}, CALL]}))
