"""What is doubtful about documents taken together: a rule, the playbook it starts, the templates that it sends."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jinja2 import Environment, TemplateSyntaxError, nodes

from schemas.duration import parse_duration
from schemas.lint import Doubt, covered
from schemas.playbook import PlaybookIn, Step, WaitEvent
from schemas.rule import RuleIn
from schemas.template import TemplateIn

TICK_KINDS = {"trend", "date"}  # decided at a moment: their triggers have no event
_parser = Environment(autoescape=True)


@dataclass(frozen=True)
class Named:
    """A doubt about one document."""

    kind: str
    name: str
    doubt: Doubt


def lint_together(
    rules: Iterable[RuleIn], playbooks: Iterable[PlaybookIn], templates: Iterable[TemplateIn]
) -> list[Named]:
    """The doubts about documents that refer to one another."""
    books = {book.name: book for book in playbooks}
    mails = {template.name: template for template in templates}
    found: dict[tuple[str, ...], Named] = {}
    for rule in rules:
        book = books.get(rule.playbook or "")
        if book is not None:
            names = sorted({name for kind, name, _ in book.references() if kind == "template"} & set(mails))
            doubts = [
                *_pair(rule, book),
                *(doubt for name in names for doubt in _template(rule, mails[name])),
            ]
            found |= {(one.kind, one.name, one.doubt["field"], one.doubt["message"]): one for one in doubts}
    return list(found.values())


def _pair(rule: RuleIn, book: PlaybookIn) -> Iterator[Named]:
    for tier in sorted(covered(rule) - set(book.by_tier())):
        message = f"the rule {rule.name} covers the tier {tier}, for which there are no steps"
        yield Named("playbook", book.name, {"field": "steps", "message": message})
    cooldown = rule.cooldown
    if cooldown is None or cooldown == "once" or parse_duration(cooldown) == 0:
        return
    for tier, steps in book.by_tier().items():
        for place, wait in _waits(steps):
            if parse_duration(wait) > parse_duration(cooldown):
                message = f"waits {wait}, longer than {rule.name} cools down ({cooldown}): its next trigger is skipped"
                yield Named(
                    "playbook", book.name, {"field": f"steps.{tier}.{place}.wait", "message": message}
                )


def _waits(steps: list[Step]) -> Iterator[tuple[int, str]]:
    for place, step in enumerate(steps):
        if isinstance(step.wait, str):
            yield place, step.wait
        elif isinstance(step.wait, WaitEvent):
            yield place, step.wait.for_


def _template(rule: RuleIn, template: TemplateIn) -> Iterator[Named]:
    missing = _missing(rule)
    for field, source in template.sources().items():
        for path in sorted(trigger_names(source)):
            why = missing.get(path)
            if why is not None:
                message = f"trigger.{path} is empty when {rule.name} fires: {why}"
                yield Named("template", template.name, {"field": field, "message": message})


def _missing(rule: RuleIn) -> dict[str, str]:
    """What a trigger of this rule cannot have, by its first name, and why."""
    missing: dict[str, str] = {}
    kinds = {member.kind for member in rule.when.members}
    ticks = all(m.kind in TICK_KINDS or getattr(m.body, "at_tick", False) for m in rule.when.members)
    if ticks:
        missing["event"] = missing["event_id"] = "it fires at a moment, not at an event"
    if rule.by is None:
        missing["key"] = "the rule has no by"
    if "trend" not in kinds:
        missing["figures"] = "only a trend has figures"
    if kinds <= {"date", "becomes", "absence"}:
        missing["value"] = "it counts nothing"
    return missing


def trigger_names(source: str) -> set[str]:
    """The first names that a template looks up in `trigger`: `event` for `trigger.event.data.invoice`."""
    try:
        tree = _parser.parse(source)
    except TemplateSyntaxError:
        return set()  # an error of its own, told by the server
    return {
        node.attr
        for node in tree.find_all(nodes.Getattr)
        if isinstance(node.node, nodes.Name) and node.node.name == "trigger"
    }
