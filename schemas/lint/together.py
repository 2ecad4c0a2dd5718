"""Finds what is probably wrong with documents taken together: a rule, the playbook it starts, the templates
that it sends.

Such a warning concerns several documents. Each has its own wording of it, so that whichever is saved last, or
is the only one in a file, can be warned.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from schemas.duration import parse_duration
from schemas.lint.digests import ONLY_THERE
from schemas.lint.loops import ways_round
from schemas.lint.outline import PlaybookOutline, RuleOutline, TemplateOutline
from schemas.lint.single import LintWarning

MOST_RIVALS = 10  # rules for the same playbook that a rule is warned of


class SharedWarning(NamedTuple):
    """A warning as it is worded for the writer of this document."""

    kind: str
    name: str
    doubt: LintWarning


_INSTEAD = {
    "account": "a digest has one for each item: item.account",
    "trigger": "a digest has one for each item: item.trigger",
    "tier": "a digest has one for each item: item.account.tier",
}

Finding = tuple[SharedWarning, ...]  # names one warning for all documents; the document to change comes first


def lint_together(
    rules: Iterable[RuleOutline],
    playbooks: Mapping[str, PlaybookOutline],
    templates: Mapping[str, TemplateOutline],
) -> Iterator[Finding]:
    """The warnings about documents that refer to one another."""
    rules = list(rules)
    starting: dict[str, list[RuleOutline]] = {}
    for rule in rules:
        if rule.playbook is not None:
            starting.setdefault(rule.playbook, []).append(rule)
    for name, rivals in starting.items():
        book = playbooks.get(name)
        for rule in rivals:
            yield from _rivals(rule, rivals)
            if book is not None:
                yield from _steps(rule, book)
                yield from _waits(rule, book)
                yield from _moves(rule, book)
                yield from _texts(rule, book)
                yield from _mails(rule, book, templates)
    for book in playbooks.values():
        yield from _digests(book, templates)
    yield from _loops(rules, playbooks)


def told(findings: Iterable[Finding], kind: str, name: str) -> list[LintWarning]:
    """The warnings for one of the documents, each once."""
    views = (view for finding in findings for view in finding if (view.kind, view.name) == (kind, name))
    return list({(view.doubt["field"], view.doubt["message"]): view.doubt for view in views}.values())


def _rivals(rule: RuleOutline, rivals: Iterable[RuleOutline]) -> Iterator[Finding]:
    others = (one for one in rivals if one.name != rule.name and set(one.tiers) & set(rule.tiers))
    for other in islice(others, MOST_RIVALS):
        message = f"{other.name} starts {rule.playbook} too: while one of their plays is open, the other's is skipped"
        yield (_view(rule, "playbook", message),)


def _steps(rule: RuleOutline, book: PlaybookOutline) -> Iterator[Finding]:
    for tier in sorted(set(rule.tiers) - set(book.tiers)):
        yield (
            _view(
                book, "steps", f"the rule {rule.name} covers the tier {tier}, for which there are no steps"
            ),
            _view(rule, "playbook", f"{book.name} has no steps for the tier {tier}, which the rule covers"),
        )


def _waits(rule: RuleOutline, book: PlaybookOutline) -> Iterator[Finding]:
    if rule.cooldown is None or not (cooldown := parse_duration(rule.cooldown)):
        return
    for path, tier, span in ((use.path, use.tier, use.what) for use in book.waits):
        if _meets(rule, tier) and parse_duration(span) > cooldown:
            why = f"cools down ({rule.cooldown}): its next trigger is skipped"
            yield (
                _view(book, path, f"waits {span}, longer than {rule.name} {why}"),
                _view(rule, "cooldown", f"{book.name} waits {span}, longer than the rule {why}"),
            )


def _moves(rule: RuleOutline, book: PlaybookOutline) -> Iterator[Finding]:
    """Warns that a play which begins before a date goes on by the old date when the date moves."""
    if not set(book.lasting) & set(rule.tiers):
        return
    for path in rule.ahead:
        if path not in book.watched:
            leave = f"add {{changed: {path}}} to exit_when"
            yield (
                _view(
                    book, "exit_when", f"when {path} moves, a play that {rule.name} began goes on: {leave}"
                ),
                _view(
                    rule,
                    "playbook",
                    f"when {path} moves, a play that it began goes on: {leave} of {book.name}",
                ),
            )


def _texts(rule: RuleOutline, book: PlaybookOutline) -> Iterator[Finding]:
    for use in book.uses:
        why = rule.missing.get(use.what)
        if why is not None and _meets(rule, use.tier):
            yield (
                _view(book, use.path, f"trigger.{use.what} is empty when {rule.name} fires: {why}"),
                _view(
                    rule,
                    "playbook",
                    f"{book.name} uses trigger.{use.what}, which is empty when the rule fires: {why}",
                ),
            )


def _mails(
    rule: RuleOutline, book: PlaybookOutline, templates: Mapping[str, TemplateOutline]
) -> Iterator[Finding]:
    for path, tier, name in ((use.path, use.tier, use.what) for use in book.templates):
        template = templates.get(name)
        if template is None or not _meets(rule, tier):
            continue
        for field, _, what in ((use.path, use.tier, use.what) for use in template.uses):
            why = rule.missing.get(what)
            if why is not None:
                uses = f"the template {name} uses trigger.{what}, which is empty when"
                yield (
                    _view(template, field, f"trigger.{what} is empty when {rule.name} fires: {why}"),
                    _view(book, path, f"{uses} {rule.name} fires: {why}"),
                    _view(rule, "playbook", f"{uses} the rule fires: {why}"),
                )


def _digests(book: PlaybookOutline, templates: Mapping[str, TemplateOutline]) -> Iterator[Finding]:
    """Warns of templates that a digest cannot fill in, or that only a digest can."""
    for path, _, name in ((use.path, use.tier, use.what) for use in book.templates):
        template = templates.get(name)
        if template is None:
            continue
        digest = path.endswith(".digest.template")
        if digest and not any(use.what == "items" for use in template.takes):
            yield (
                _view(template, "subject", f"{book.name} sends it as a digest, and it does not use items"),
                _view(
                    book,
                    path,
                    f"the template {name} does not use items: the mail would not say what happened",
                ),
            )
        for use in (one for one in template.takes if (one.what in ONLY_THERE) is not digest):
            instead = _INSTEAD.get(use.what, "only a digest has it")
            yield (
                _view(template, use.path, f"{book.name} has no {use.what} for it: {instead}"),
                _view(book, path, f"the template {name} uses {use.what}: {instead}"),
            )


def _loops(rules: Iterable[RuleOutline], playbooks: Mapping[str, PlaybookOutline]) -> Iterator[Finding]:
    for way, type_ in ways_round(rules, playbooks):
        rule, through = way[0], [one.name for one in way[1:]]
        book, last = playbooks[rule.playbook or ""], way[-1].playbook
        via = f" through {' and '.join(through)}" if through else ""
        stops = "it stops after three rounds (loop)"
        keep = f"a where on data.playbook (such as {{ne: {last}}}) keeps them apart"
        yield (
            _view(
                rule,
                "when",
                f"may start itself{via}: it fires at {type_}, which {last} causes; {stops}; {keep}",
            ),
            _view(
                book,
                "steps",
                f"may start itself{via}: {rule.name} fires at {type_}, which {last} causes; {stops}",
            ),
        )


def _meets(rule: RuleOutline, tier: str | None) -> bool:
    """Whether the rule can start a play of that tier (None: of any)."""
    return tier is None or tier in rule.tiers


def _view(
    document: RuleOutline | PlaybookOutline | TemplateOutline, field: str, message: str
) -> SharedWarning:
    kind = {RuleOutline: "rule", PlaybookOutline: "playbook", TemplateOutline: "template"}[type(document)]
    return SharedWarning(kind, document.name, {"field": field, "message": message})
