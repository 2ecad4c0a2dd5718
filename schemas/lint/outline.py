"""What others need to know of a saved document: whether it fits to others, what it reads. Small and flat."""

from collections.abc import Iterator
from typing import Any

import msgspec

from schemas.channels.base import ChannelStep
from schemas.conditions.model import plain
from schemas.event import OWN_PREFIX
from schemas.lint.digests import names_taken
from schemas.lint.mail_times import DigestTime, MailTime, digest_times, mail_times
from schemas.lint.readings import ReadPath, reads_of_playbook, reads_of_rule, reads_of_tiers, types_of
from schemas.lint.template_names import trigger_names
from schemas.playbook import PlaybookIn, Step
from schemas.playbook_texts import every, spans_of, texts_of, tier_of, trigger_paths, waits_in
from schemas.rule import RuleIn, TiersDoc, cooldown_span
from schemas.template import TemplateIn
from schemas.tiered import TIERS

FORMAT = 9  # counts up when outlines come to hold something else: those on record are then made anew
CAN_LACK = frozenset({"event", "event_id", "contact", "key", "figures", "value", "threshold", "window"})


class Hears(msgspec.Struct, frozen=True, array_like=True):
    """Types of Touchline's own events at which a rule may fire, and the conditions that must hold there."""

    types: list[str]
    where: list[dict[str, Any]]


class RuleOutline(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule: the tiers in which it can fire, and what its triggers cannot have (first name, and why)."""

    name: str
    playbook: str | None = None
    tiers: list[str] = []
    cooldown: str | None = None  # a duration; None: none, or for ever
    missing: dict[str, str] = {}
    ahead: list[str] = []  # attributes with dates that it fires before
    hears: list[Hears] = []
    types: list[str] = []  # at which it may fire
    reads: list[ReadPath] = []
    draft: bool = False


class Use(msgspec.Struct, frozen=True, array_like=True):
    """A place in a document, the tier it serves (None: all), and what stands there."""

    path: str
    tier: str | None
    what: str


class PlaybookOutline(msgspec.Struct, frozen=True, omit_defaults=True):
    """A playbook: its tiers, how long it waits, which templates it sends, what of the trigger it needs itself."""

    name: str
    tiers: list[str] = []
    waits: list[Use] = []
    templates: list[Use] = []
    uses: list[Use] = []
    lasting: list[str] = []  # tiers in which it waits for something
    watched: list[str] = []  # attributes whose change ends it
    emits: dict[
        str, list[str]
    ] = {}  # by tier: the types of Touchline's own events that its plays bring about
    reads: list[ReadPath] = []
    endpoints: list[str] = []  # that it calls
    goal: list[str] = []  # types of events that reach its goal
    topic: str = "lifecycle"
    mails: list[MailTime] = []
    digests: list[DigestTime] = []


class TemplateOutline(msgspec.Struct, frozen=True, omit_defaults=True):
    """A template: what of the trigger it needs, by field, and which names it takes that not all templates have."""

    name: str
    uses: list[Use] = []
    takes: list[Use] = []


class TiersOutline(msgspec.Struct, frozen=True, omit_defaults=True):
    """The tier policy, whole: actions resolves with it the tier of plays that were held."""

    name: str = "tiers"
    reads: list[ReadPath] = []
    policy: list[dict[str, Any]] = []


Outline = RuleOutline | PlaybookOutline | TemplateOutline | TiersOutline
TYPES: dict[str, type[Outline]] = {
    "rule": RuleOutline,
    "playbook": PlaybookOutline,
    "template": TemplateOutline,
    "tiers": TiersOutline,
}


def kind_of(outline: Outline) -> str:
    """`rule`, `playbook`, `template` or `tiers`."""
    return next(kind for kind, type_ in TYPES.items() if isinstance(outline, type_))


def refers(outline: Outline) -> set[tuple[str, str]]:
    """The documents that it names: (kind, name); of a rule also the types of our own events, as `event`."""
    if isinstance(outline, RuleOutline):
        heard = {("event", type_) for one in outline.hears for type_ in one.types}
        return heard if outline.playbook is None else heard | {("playbook", outline.playbook)}
    called = {("endpoint", name) for name in getattr(outline, "endpoints", ())}
    return called | {("template", one.what) for one in getattr(outline, "templates", ())}


def holds(outline: Outline) -> bool:
    """Whether what it names is in use: a draft holds nothing."""
    return not (isinstance(outline, RuleOutline) and outline.draft)


def outline_rule(rule: RuleIn) -> RuleOutline:
    """The outline of a rule."""
    bodies = [member.body for member in rule.when.members]
    tiers = [tier for tier in TIERS if all(body.covers(tier) for body in bodies)]
    ahead = [path for body in bodies for path in body.dates_ahead]
    return RuleOutline(
        rule.name,
        rule.playbook,
        tiers,
        cooldown_span(rule),
        _missing(rule),
        ahead,
        list(_hears(rule)),
        types_of(rule),
        reads_of_rule(rule),
        draft=rule.status in {None, "draft"},
    )


def _hears(rule: RuleIn) -> Iterator[Hears]:
    """What it counts and what arms it, of our own; a rule that fires but once per subject starts no round."""
    if rule.cooldown == "once":
        return
    selectors = [one for member in rule.when.members for one in member.body.selectors]
    for one in selectors:
        types = [one.event] if isinstance(one.event, str) else one.event
        own = [type_ for type_ in types if type_.startswith(OWN_PREFIX)]
        if own:
            yield Hears(own, [plain(where) for where in (one.where, rule.where) if where is not None])


def _missing(rule: RuleIn) -> dict[str, str]:
    bodies = [member.body for member in rule.when.members]
    missing: dict[str, str] = {}
    if not any(body.has_event for body in bodies):
        missing["event"] = missing["event_id"] = "it fires at a moment, not at an event"
        if rule.scope == "account":
            missing["contact"] = missing["event"]
    if rule.by is None:
        missing["key"] = "the rule has no by"
    if not any(body.has_figures for body in bodies):
        missing["figures"] = "only a trend has figures"
    if not any(body.has_value for body in bodies):
        missing["value"] = missing["window"] = "it counts nothing"
    if not any(body.has_threshold for body in bodies):
        missing["threshold"] = "it compares with no number"
    return missing


def outline_playbook(body: PlaybookIn) -> PlaybookOutline:
    """The outline of a playbook."""
    templates = [(path, name) for kind, name, path in body.references() if kind == "template"]
    texts = [(path, name) for path, source in texts_of(body).items() for name in _needs(source)]
    needed = [(path, name) for path, name in trigger_paths(body) if name in CAN_LACK]
    return PlaybookOutline(
        body.name,
        list(body.by_tier()),
        [Use(path, tier_of(path), span) for path, span in spans_of(body)],
        [Use(path, tier_of(path), name) for path, name in templates],
        [Use(path, tier_of(path), name) for path, name in [*texts, *needed]],
        [tier for tier, steps in body.by_tier().items() if waits_in(steps)],
        list(body.watched),
        {tier: sorted(_emits(steps, tier)) for tier, steps in body.by_tier().items()},
        reads_of_playbook(body),
        sorted({name for kind, name, _ in body.references() if kind == "endpoint"}),
        [] if body.goal is None else list(body.goal.types),
        body.topic,
        list(mail_times(body)),
        list(digest_times(body)),
    )


def _emits(steps: list[Step], tier: str) -> set[str]:
    """What follows from a play by itself; what people do (open a task's link, complete it) does not."""
    kinds = {"play.started", "play.finished", "play.exited"}
    for step in every(steps):
        if step.words is not None:
            _, words = step.words
            kinds.update(words.follows(tier) if isinstance(words, ChannelStep) else words.emits)
    return {OWN_PREFIX + kind for kind in kinds}


def outline_template(body: TemplateIn) -> TemplateOutline:
    """The outline of a template."""
    uses = [Use(field, None, name) for field, source in body.sources().items() for name in _needs(source)]
    takes = [
        Use(field, None, name) for field, source in body.sources().items() for name in names_taken(source)
    ]
    return TemplateOutline(body.name, uses, takes)


def _needs(source: str) -> Iterator[str]:
    yield from sorted(trigger_names(source) & CAN_LACK)


def outline_tiers(doc: TiersDoc) -> TiersOutline:
    """The outline of the tier policy."""
    policy = doc.model_dump(mode="json", by_alias=True, exclude_unset=True)["tiers"]
    return TiersOutline(reads=reads_of_tiers(doc), policy=policy)


def outline(model: RuleIn | PlaybookIn | TemplateIn) -> Outline:
    """The outline of a document."""
    if isinstance(model, RuleIn):
        return outline_rule(model)
    return outline_playbook(model) if isinstance(model, PlaybookIn) else outline_template(model)
