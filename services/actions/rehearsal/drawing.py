"""Renders what a rehearsal has to see rendered, and no more. Pure.

Whether a template can be filled in depends on what is there, hardly ever on what exactly it says. So an action is
rendered for real if no other one of its step, tier and variant had the same *shape*: the names that are set, and of
each value its kind (text, empty text, number, zero, list, …). An action whose shape failed is always rendered itself,
and so is a task whose `key` is a template.
"""

import re
from collections.abc import Mapping
from typing import Any

from schemas.tiered import TIERS
from services.actions.channels.email.spec import variant_in
from services.actions.plays.model import (
    ActionDraft,
    DraftRendering,
    Rendered,
    RenderFailure,
    RenderJob,
    TaskSpec,
)

SAMPLES = 5
_MARKS = ("{{", "{%", "{#")
_ALIKE = ("now", "tier", "brand")  # always of one kind
_ONCE = ("trigger", "account", "owner")  # looked at once a play, or once for each state of the account
_NAME = re.compile(r"\{\{ *([a-z_]+(?:\.[a-z_]+)+) *\}\}")

Slot = tuple[str, str, str]  # tier, step, and the variant of a mail (empty: the template itself)
Answer = Rendered | RenderFailure


def slot_of(draft: ActionDraft) -> Slot:
    """What is rendered at least once."""
    return (draft.tier, draft.step, variant_in(draft))


class Sample:
    """A mail as it would be sent."""

    def __init__(self, draft: ActionDraft, content: Mapping[str, Any]) -> None:
        self.tier, self.step, self.account, self.at = draft.tier, draft.step, draft.account, draft.due_at
        self.shown = {
            "account": draft.account,
            "recipient": draft.recipient,
            **{name: content[name] for name in ("subject", "text", "html")},
        }


class Drawing:
    """What has been rendered so far."""

    def __init__(self, renderer: DraftRendering) -> None:
        self._renderer = renderer
        self._good: set[tuple[Slot, int]] = set()  # shapes that could be rendered
        self._triggers: dict[str, Any] = {}  # the shape of each play's trigger
        self._accounts: dict[str, Any] = {}  # the shape of each account, with its owner
        self.drawn: set[Slot] = set()  # steps that were rendered at least once
        self.samples: dict[Slot, list[Sample]] = {}
        self.renderings = 0

    def draw(self, draft: ActionDraft) -> Answer:
        """The content of a draft; an empty one if its shape could be rendered before."""
        spec = draft.spec
        slot = slot_of(draft)
        if spec.ready is not None:
            self.drawn.add(slot)
            return Rendered(content=spec.ready)
        key = spec.key if isinstance(spec, TaskSpec) else None
        if key is not None and any(mark in key for mark in _MARKS):
            key = plain_key(key, draft.context)
            if key is None:
                return self._render(draft)
        known = (slot, self._shape_of(draft))
        if known in self._good and (draft.channel != "email" or len(self.samples.get(slot, ())) == SAMPLES):
            return Rendered(content={} if key is None else {"key": key})
        answer = self._render(draft)
        if isinstance(answer, Rendered):
            self._good.add(known)
        return answer

    def _shape_of(self, draft: ActionDraft) -> int:
        context = draft.context
        trigger = self._triggers.get(draft.play)
        if trigger is None:
            trigger = self._triggers[draft.play] = _shape(context.get("trigger"))
        account = self._accounts.get(draft.account)
        if account is None:
            account = _shape([context.get("account"), context.get("owner")])
            self._accounts[draft.account] = account
        rest = {name: one for name, one in context.items() if name not in _ALIKE and name not in _ONCE}
        return hash((trigger, account, _shape(rest)))

    def changed(self, account: str) -> None:
        """An account is another one than before."""
        self._accounts.pop(account, None)

    def _render(self, draft: ActionDraft) -> Answer:
        self.renderings += 1
        self.drawn.add(slot_of(draft))
        return self._renderer.render_many([RenderJob(draft=draft)])[0]

    def explain(self, draft: ActionDraft) -> str:
        """Why a draft failed before it was rendered."""
        named = getattr(draft.spec, "template", None)
        return f"there is no template '{named}'" if named is not None else str(draft.reason)

    def show(self, draft: ActionDraft, answer: Rendered) -> None:
        """Keep a mail as a sample, one of the first of its step, tier and variant."""
        kept = self.samples.setdefault(slot_of(draft), [])
        if "subject" in answer.content and len(kept) < SAMPLES:
            kept.append(Sample(draft, answer.content))

    def forget(self, account: str) -> None:
        """Keep no sample of this account; others of its step and tier may take its place."""
        for slot, kept in self.samples.items():
            self.samples[slot] = [one for one in kept if one.account != account]

    def chosen(self) -> list[dict[str, Any]]:
        """Up to five samples, of as many tiers and steps as there are, earlier ones first."""
        by_tier: dict[str, list[Sample]] = {}
        ranked = [(rank, one) for kept in self.samples.values() for rank, one in enumerate(kept)]
        for _, one in sorted(ranked, key=lambda pair: (pair[0], pair[1].at, pair[1].account, pair[1].step)):
            by_tier.setdefault(one.tier, []).append(one)
        rounds = max(map(len, by_tier.values()), default=0)
        tiers = sorted(by_tier, key=TIERS.index)
        taken = [by_tier[tier][n] for n in range(rounds) for tier in tiers if n < len(by_tier[tier])]
        return [one.shown for one in taken[:SAMPLES]]


def plain_key(key: str, context: Mapping[str, Any]) -> str | None:
    """A task's key with its names filled in, where they are plain ones of texts and whole numbers, as most are."""
    pieces: list[str] = []
    end = 0
    for found in _NAME.finditer(key):
        value: Any = context
        for name in found[1].split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if type(value) not in (str, int):
            return None
        pieces += (key[end : found.start()], str(value))
        end = found.end()
    rest = key[end:]
    if any(mark in rest or mark in "".join(pieces[::2]) for mark in _MARKS):
        return None
    return "".join((*pieces, rest))


def _shape(value: Any) -> Any:
    """A value's kind, of an object or a list that of all its parts."""
    kind = type(value)
    if kind is str:
        return _shape_of_text(value)
    if kind is dict:
        return frozenset([(name, _shape(one)) for name, one in value.items()])
    if value is None or kind is bool:
        return value
    if kind is int or kind is float:
        return "zero" if value == 0 else "below" if value < 0 else kind.__name__
    if kind is list:
        return (bool(value), frozenset([_shape(one) for one in value]))
    return kind.__name__


def _shape_of_text(text: str) -> str:
    if not text or text.isspace():
        return "empty"
    if text[0].isdigit():
        return "date" if text[4:5] == "-" and len(text) >= 10 else "digits"
    return "text"
