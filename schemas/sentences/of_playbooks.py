"""What a playbook says, in words, made from the document: API, command line and console show the same. Pure.

sentence(playbook)
For the high tier, it creates a task for the owner, "Call account.name", due in 1 day. For the low tier, it sends the
email invoice-reminder to the contact, then waits 7 days. A play ends early when an invoice.paid event comes. …
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from schemas.channels.email import EmailStep
from schemas.channels.task import TaskStep
from schemas.channels.webhook import WebhookStep
from schemas.digest import MOST, DigestStep
from schemas.playbook import (
    KINDS,
    Branch,
    EventMatch,
    PlaybookIn,
    Step,
    ValueChange,
    WaitDate,
    WaitEvent,
)
from schemas.sentences.conditions import in_words
from schemas.sentences.events import an_event
from schemas.sentences.wording import counted, exact, listed, span

DAYS = {
    "mon": "Monday", "tue": "Tuesday", "wed": "Wednesday", "thu": "Thursday", "fri": "Friday", "sat": "Saturday",
    "sun": "Sunday",
}  # fmt: skip
_EXPRESSION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_MORE = re.compile(r"\s+(?:or|if|and|else)\s+|\s*\|")  # alternatives, conditions and filters
_GET = re.compile(r"\.get\([\"'](\w+)[\"'][^()]*\)")
_PATH = re.compile(r"[\w.]+")
_STATEMENT = re.compile(r"\{[%#].*?[%#]\}", re.DOTALL)
MOST_STEPS = 50  # of one list; of more, the number of the others
_TITLE = 200  # characters of a text that are quoted


def sentence(playbook: PlaybookIn) -> str:
    """The playbook in words: its steps per tier, what ends a play, and what it is held to."""
    return " ".join([*_steps(playbook), *_ends(playbook), *_limits(playbook)])


def beside_steps(playbook: PlaybookIn) -> str:
    """What the sentence says besides the steps, for where those are drawn."""
    return " ".join([*_ends(playbook), *_limits(playbook)])


def _steps(playbook: PlaybookIn) -> list[str]:
    if isinstance(playbook.steps, list):
        return [f"For every tier, it {_joined(playbook.steps, None)}."]
    tiers = playbook.by_tier()
    said = [f"For the {tier} tier, it {_joined(steps, tier)}." for tier, steps in tiers.items()]
    left = [tier for tier in ("high", "low", "tech") if tier not in tiers]
    if left:
        said.append(f"It does nothing for the {listed(left, 'or')} tier{'s' if len(left) > 1 else ''}.")
    return said


def _joined(steps: list[Step], tier: str | None) -> str:
    said = [step_in_words(step, tier) for step in steps[:MOST_STEPS]]
    if len(steps) > MOST_STEPS:
        said.append(f"goes through {len(steps) - MOST_STEPS} more steps")
    return ", then ".join(said) or "does nothing"


def step_in_words(step: Step, tier: str | None) -> str:
    """One step as a clause without its subject: `waits 7 days`. `tier`: of the play; None: any."""
    kind = next(name for name in KINDS if getattr(step, name) is not None)
    return CLAUSES[kind](getattr(step, kind), tier)


# -- the steps


def _email(step: EmailStep, tier: str | None) -> str:
    sender = f" from {_person(step.from_)}" if step.from_ is not None else ""
    late = f", unless it has not begun within {span(step.within)}" if step.within is not None else ""
    return f"sends the email {step.template} to {_recipient(step.to)}{sender}{_approval(step, tier)}{late}"


def _approval(step: EmailStep, tier: str | None) -> str:
    """Who looks at a mail first; for all tiers at once, in which tiers."""
    tiers = [one for one in ("high", "low", "tech") if step.asks_approval(one)]
    if not tiers or (tier is not None and tier not in tiers):
        return ""
    only = (
        f" (for the {listed(tiers)} tier{'s' if len(tiers) > 1 else ''})"
        if tier is None and len(tiers) < 3
        else ""
    )
    within = f" within {span(step.approve_within)}" if step.approve_within is not None else ""
    return f" once {_person(step.approver)} has approved it{within}{only}"


def _task(step: TaskStep, _: str | None) -> str:
    said = [f'creates a task for {_person(step.assignee)}, "{template(step.title)}"']
    if step.due is not None:
        said.append(f"due in {span(step.due)}")
    if step.priority is not None:
        said.append(f"with the priority {step.priority}")
    if step.key is not None:
        said.append(f'with the key "{template(step.key)}"')
    return ", ".join(said)


def _webhook(step: WebhookStep, _: str | None) -> str:
    return f"calls the endpoint {step.endpoint}"


def _digest(step: DigestStep, _: str | None) -> str:
    days = f" on {listed(DAYS[day] for day in step.days)}" if step.days else " every day"
    key = f" with the key {step.key}" if step.key is not None else ""
    most = f", at most {counted(step.at_most, 'item')} in one" if step.at_most != MOST else ""
    return f"adds an item to the digest {step.template}{key} for {_recipient(step.to)}, sent at {step.at}{days}{most}"


def _wait(wait: Any, _: str | None) -> str:
    if isinstance(wait, WaitEvent):
        ends = "ends the play" if wait.then == "exit" else "goes on"
        return f"waits up to {span(wait.for_)} and {ends} as soon as {_comes(wait.until)}"
    if isinstance(wait, WaitDate):
        away = f"{span(wait.before)} before the date" if wait.before is not None else "the date"
        skip = " (the next step is left out if that is past)" if wait.past == "skip" else ""
        return f"waits until {away} in {wait.until_date}{skip}"
    return f"waits {span(wait)}"


def _branch(branch: Branch, tier: str | None) -> str:
    then, other = _joined(branch.then, tier), _joined(branch.else_, tier)
    return f"takes one of two ways (if {in_words(branch.if_)}: {then}; otherwise: {other})"


CLAUSES: Mapping[str, Callable[[Any, str | None], str]] = {
    "email": _email,
    "task": _task,
    "webhook": _webhook,
    "digest": _digest,
    "wait": _wait,
    "branch": _branch,
}
if missing := set(KINDS) - CLAUSES.keys():
    raise LookupError(f"steps without words: {', '.join(sorted(missing))}")


# -- the rest


def _ends(playbook: PlaybookIn) -> list[str]:
    said = []
    if playbook.exits:
        said.append(f"A play ends early {listed((f'when {_exit(one)}' for one in playbook.exits), 'or')}.")
    if playbook.goal is not None:
        goal = playbook.goal
        said.append(f"Its goal is that {_comes(goal)} within {span(goal.within)} after the trigger.")
    return said


def _exit(one: EventMatch | ValueChange) -> str:
    return f"{one.changed} changes" if isinstance(one, ValueChange) else _comes(one)


def _comes(match: EventMatch) -> str:
    also = " and" if match.where is not None else ""
    by = f"{also} whose {match.by} is the trigger's key" if match.by is not None else ""
    return f"{an_event(match)}{by} comes"


def _limits(playbook: PlaybookIn) -> list[str]:
    said = [f"Its mails are about the topic {playbook.topic}."]
    if playbook.priority is not None:
        said.append(f"Its mails have the priority {playbook.priority}.")
    if playbook.holdout:
        said.append(f"{exact(playbook.holdout)}% of the accounts are held out.")
    if playbook.limit is not None:
        plays = counted(playbook.limit.plays, "play")
        said.append(f"It pauses when more than {plays} would begin within {span(playbook.limit.within)}.")
    elif "limit" in playbook.model_fields_set:
        said.append("Any number of plays may begin.")
    if playbook.held_for is not None:
        said.append(f"A held play waits for at most {span(playbook.held_for)}.")
    return said


def _recipient(to: str) -> str:
    if to.startswith("role:"):
        return f"the contacts with the role {to.removeprefix('role:')}"
    return {"contact": "the contact", "all": "all contacts", "owner": "the owner"}.get(to, to)


def _person(who: str) -> str:
    return "the owner" if who == "owner" else who


def template(text: str) -> str:
    """A text with expressions, for reading: each by the first path in it, and no braces."""
    plain = _STATEMENT.sub("", _EXPRESSION.sub(lambda found: _named(found[1]), text))
    short = " ".join(plain.replace("{", "").replace("}", "").split())
    return short if len(short) <= _TITLE else f"{short[:_TITLE]}…"


def _named(expression: str) -> str:
    first = _GET.sub(r".\1", _MORE.split(expression, maxsplit=1)[0].strip())
    return first if _PATH.fullmatch(first) else "…"
