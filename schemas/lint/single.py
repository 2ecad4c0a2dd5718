"""Finds what is legal but probably wrong in one document. Pure: what the log has shown comes in as `Facts`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from schemas.channels.base import is_internal
from schemas.conditions.model import Condition, paths_of
from schemas.duration import parse_duration
from schemas.event import DAY_US, MERGED, RESERVED, is_reserved
from schemas.lint import digests
from schemas.lint.similar_names import alike
from schemas.lint.template_names import mentions, unknown_names
from schemas.playbook import PlaybookIn
from schemas.playbook_texts import steps_of, texts_of
from schemas.rule import RuleIn
from schemas.template import TemplateIn
from schemas.tiered import TIERS, TierMap
from schemas.trigger_kinds.threshold import Threshold
from schemas.trigger_kinds.trend import Trend

NIGHT_US = 12 * 3_600_000_000  # for so long at a stretch nobody may look at held plays
NEVER_HEARD = frozenset({"account.deleted", MERGED})  # types that are handled apart, and count nowhere


class LintWarning(TypedDict):
    """One doubtful field, and why it is doubtful."""

    field: str
    message: str


@dataclass(frozen=True)
class Facts:
    """What the log has shown so far. If it has shown nothing, there are no warnings from it."""

    paths: dict[str, frozenset[str]] = field(default_factory=dict)  # event type to the names in its data
    tiers: frozenset[str] = frozenset()  # tiers that some account has


def lint_rule(rule: RuleIn, facts: Facts) -> list[LintWarning]:
    """The warnings about a rule by itself. Together with other documents: `schemas.lint.together`."""
    found = [*_parts(rule, facts), *_alive(rule, facts), *_tiers(rule, facts)]
    return list({(one["field"], one["message"]): one for one in found}.values())


def lint_template(template: TemplateIn) -> list[LintWarning]:
    """Warnings about names that nothing in scope can have, and about what a whole document has to say itself."""
    return [*_unknown(template.sources()), *_own_layout(template)]


_SAID_BY_WHOLE = {
    ("unsubscribe_url",): "its readers cannot unsubscribe",
    ("brand", "postal_address"): "it does not say whose mail it is",
}


def _own_layout(template: TemplateIn) -> Iterator[LintWarning]:
    for path, source in template.sources().items():
        if path.rpartition(".")[2] == "html" and "<html" in source.lower():
            for names, lacking in _SAID_BY_WHOLE.items():
                if not mentions(source, names):
                    said = f"is a whole document, to which no footer is added; without {'.'.join(names)} {lacking}"
                    yield _warning(path, said)


def lint_playbook(playbook: PlaybookIn) -> list[LintWarning]:
    """The same for the templates in a playbook's steps, and warnings of its digests, of plays that are held too
    briefly, and of mails that nothing holds back."""
    of_digests = [_warning(field, message) for field, message in digests.doubts(playbook)]
    return [*_held_briefly(playbook), *_unknown(texts_of(playbook)), *of_digests, *_never_late(playbook)]


def _never_late(playbook: PlaybookIn) -> Iterator[LintWarning]:
    """Warns of a `within` of mails for which the sending policy does not hold, and which nobody has to approve."""
    for path, step in steps_of(playbook):
        mail = step.email
        if mail is None or mail.within is None or not is_internal(mail.to):
            continue
        if not any(map(mail.asks_approval, TIERS)):
            whom = "the owner" if mail.to == "owner" else "a fixed address"
            yield _warning(
                f"{path}.email.within", f"a mail to {whom} begins at once: no policy holds it back"
            )


def _held_briefly(playbook: PlaybookIn) -> Iterator[LintWarning]:
    if playbook.held_for is not None and parse_duration(playbook.held_for) < NIGHT_US:
        yield _warning("held_for", "a play that is held at night is skipped before anybody sees it")


def _unknown(sources: Mapping[str, str]) -> list[LintWarning]:
    return [
        _warning(field, f"there is no {name}; there is {', '.join(sorted(known))}")
        for field, source in sources.items()
        for name, known in unknown_names(source)
    ]


def _parts(rule: RuleIn, facts: Facts) -> Iterator[LintWarning]:
    """Warnings about the members of `when`, and about `unless`."""
    single = len(rule.when.members) == 1 and rule.when.all_of is None
    for place, member in enumerate(rule.when.members):
        where = f"when.{member.kind}" if single else f"when.all_of.of.{place}.{member.kind}"
        yield from _selector(member.body, where, facts, rule.by)
        if isinstance(member.body, Threshold):
            yield from _impossible(member.body, where)
        if isinstance(member.body, Trend):
            yield from _impossible_trend(member.body, where)
    if rule.unless is not None:
        yield from _selector(rule.unless.threshold, "unless.threshold", facts, None)
        yield from _impossible(rule.unless.threshold, "unless.threshold")


def _alive(rule: RuleIn, facts: Facts) -> Iterator[LintWarning]:
    """Warns of an `alive` that can never notice a silence in time, or whose events nobody sends."""
    alive = rule.alive
    if alive is None:
        return
    for type_ in [alive.event] if isinstance(alive.event, str) else alive.event:
        if type_ in NEVER_HEARD:
            yield _warning("alive.event", f"{type_} never shows that a source works: nothing is guarded")
        elif facts.paths and type_ != "*" and not is_reserved(type_) and type_ not in facts.paths:
            yield _warning("alive.event", f"{_unseen(type_, facts)}; without any, nothing is guarded")
    shortest = min(parse_duration(span) for span in rule.when.body.spans_looked_at)
    if parse_duration(alive.within) > shortest:
        yield _warning(
            "alive.within", "is longer than the rule itself looks back, so a silence is noticed too late"
        )


def _selector(body: Any, where: str, facts: Facts, by: str | None) -> Iterator[LintWarning]:
    if not hasattr(body, "event"):
        return
    types = body.event if isinstance(body.event, list) else [body.event]
    for type_ in types:
        if facts.paths and type_ != "*" and not is_reserved(type_) and type_ not in facts.paths:
            yield _warning(f"{where}.event", _unseen(type_, facts))
    for name, path in _data_paths(body, by):
        known = [facts.paths[type_] for type_ in types if type_ in facts.paths and type_ not in RESERVED]
        if known and not any(_first(path) in names for names in known):
            place = name if name == "by" else f"{where}.{name}"
            yield _warning(place, f"{path} has not been seen in an event of {', '.join(types)} so far")
    if getattr(body, "since", None) is not None:
        yield from _selector(body.since, f"{where}.since", facts, None)


def _unseen(type_: str, facts: Facts) -> str:
    """Warns that no such event has come; if a similar one has, names the alias that would join them."""
    said = f"no event of type {type_} has been seen in the log so far"
    other = alike(type_, facts.paths)
    if other is None:
        return said
    alias = f'{{"{other}": "{type_}"}}'
    return f"{said}, but {other} has: if they are one, PUT /v1/aliases renames it with {alias}"


def _data_paths(body: Any, by: str | None) -> Iterator[tuple[str, str]]:
    condition: Condition | None = getattr(body, "where", None)
    paths = [("where", path) for path in paths_of(condition)] if condition is not None else []
    for name, value in (("of", getattr(body, "of", None)), ("by", by)):
        if isinstance(value, str):
            paths.append((name, value))
    return ((name, path) for name, path in paths if path.startswith("data."))


def _first(path: str) -> str:
    return path.split(".")[1]


def _impossible(body: Threshold, where: str) -> Iterator[LintWarning]:
    """Warns of numbers that no window can reach, or that every window does."""
    most = _most(body)
    for operator in ("at_least", "above"):
        for tier, number in _numbers(getattr(body, operator)):
            place = f"{where}.{operator}{tier}"
            if most is not None and (number > most or (operator == "above" and number == most)):
                yield _warning(place, f"can never be reached: the window has at most {most} days")
            if body.aggregate in {"count", "distinct", "days"} and operator == "at_least" and number <= 0:
                yield _warning(place, "always holds: every matching event fires")
    for operator in ("at_most", "below"):
        for tier, number in _numbers(getattr(body, operator)):
            if body.aggregate in {"count", "distinct", "days"} and (
                number < 0 or (operator == "below" and number == 0)
            ):
                yield _warning(f"{where}.{operator}{tier}", "can never hold: nothing is less than none")


def _most(body: Threshold) -> int | None:
    """The most days that the window can touch, if it counts days."""
    if body.aggregate != "days":
        return None
    spans = [body.within, body.since.for_ if body.since is not None else None]
    lengths = [parse_duration(span) for span in spans if span is not None]
    return None if not lengths else -(-min(lengths) // DAY_US) + 1


def _impossible_trend(body: Trend, where: str) -> Iterator[LintWarning]:
    for tier, number in _numbers(body.falls_by):
        if number > 100:
            yield _warning(f"{where}.falls_by{tier}", "can never hold: a rate falls by 100 % at most")


def _numbers(value: Any) -> list[tuple[str, float]]:
    if isinstance(value, TierMap):
        return [(f".{tier}", getattr(value, tier)) for tier in TIERS if getattr(value, tier) is not None]
    return [] if value is None else [("", value)]


def _tiers(rule: RuleIn, facts: Facts) -> Iterator[LintWarning]:
    if not facts.tiers:
        return
    for place, member in enumerate(rule.when.members):
        where = f"when.{member.kind}" if rule.when.all_of is None else f"when.all_of.of.{place}.{member.kind}"
        for name in member.body.tiered_fields():
            value = getattr(member.body, name)
            for tier in TIERS if isinstance(value, TierMap) else ():
                if getattr(value, tier) is not None and tier not in facts.tiers:
                    yield _warning(
                        f"{where}.{name.rstrip('_')}.{tier}", f"no account is served in the tier {tier}"
                    )


def _warning(where: str, message: str) -> LintWarning:
    return {"field": where, "message": message}
