"""A playbook as it is written: what to do, step by step, per tier (contract, section 7)."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import ConfigDict, Field, model_validator

from schemas.channels.base import ChannelStep, Delay
from schemas.channels.email import EmailStep
from schemas.channels.task import TaskStep
from schemas.channels.webhook import WebhookStep
from schemas.choice import Choice, at_least_one, exactly_one
from schemas.conditions.model import BranchCondition, EventCondition
from schemas.dates import FORMS
from schemas.digest import DigestStep
from schemas.duration import Duration
from schemas.fields import (
    MAX_HOLDOUT,
    OF_VERSIONS,
    TOPIC,
    DatePath,
    EventPath,
    Holdout,
    Name,
    Strict,
    Types,
    ValuePath,
    invalid,
)
from schemas.tiered import TIERS

MAX_STEPS = 200  # of one tier, branches included
MAX_DEPTH = 8  # branches inside branches


StepId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$")]


class EventMatch(Strict):
    """Which events count: by type, by a condition, and by a value that must equal the trigger's `key`."""

    event: Types = Field(
        description='The events: a type, a list of types, or "*" (every type that is not reserved).',
        examples=["invoice.paid"],
    )
    where: EventCondition | None = Field(
        None, description="A condition that the event must satisfy.", examples=[{"data.amount": {"gt": 0}}]
    )
    by: EventPath | None = Field(
        None,
        description="The event's value at this path must equal the trigger's `key`.",
        examples=["data.invoice"],
    )

    @property
    def types(self) -> tuple[str, ...]:
        """The types as a tuple."""
        return (self.event,) if isinstance(self.event, str) else tuple(self.event)


class Goal(EventMatch):
    """The goal of a play: an event that comes within a given time after its trigger."""

    within: Duration = Field(
        description="How long after the trigger the event counts. After that time the play is complete.",
        examples=["14d"],
    )


class ValueChange(Strict):
    """A value of the account or contact that must not change after the trigger."""

    changed: ValuePath = Field(
        description="The path to a value of the account or contact. An update that changes the value counts. "
        "Two spellings of the same date or number are the same value.",
        examples=["account.attributes.renewal_date"],
    )


class WaitEvent(Strict):
    """Wait for a time, or until an event comes."""

    for_: Duration = Field(
        alias="for", description="How long to wait at most. After that, the play goes on.", examples=["14d"]
    )
    until: EventMatch = Field(description="The event that ends the wait.")
    then: Literal["continue", "exit"] = Field("continue", description="What happens when the event comes.")


class WaitDate(Strict):
    """Wait until a date of the account or contact. If the date is past or missing, the play goes on at once,
    and its history says so.
    """

    until_date: DatePath = Field(
        description=f"The path to a date or time of the account or contact: {FORMS}.",
        examples=["account.attributes.renewal_date"],
    )
    before: Delay | None = Field(
        None, description="How long before the date the wait ends.", examples=["30d"]
    )
    past: Literal["continue", "skip"] = Field(
        "continue",
        description="What to do if the moment is past or there is no date: go on with the next step, or skip "
        "that step. A moment up to a day before the play began, but not before its trigger, does "
        "not count as past.",
        examples=["skip"],
    )


class Branch(Strict):
    """Take one of two branches, depending on a condition."""

    if_: BranchCondition = Field(
        alias="if",
        description="A condition on values under `account`, `contact` and `trigger`.",
        examples=[{"account.attributes.arr": {"gte": 20000}}],
    )
    then: list["Step"] = Field(
        default_factory=list, max_length=MAX_STEPS, description="The steps if the condition holds."
    )
    else_: list["Step"] = Field(
        default_factory=list,
        alias="else",
        max_length=MAX_STEPS,
        description="The steps if the condition does not hold.",
    )


def _wait(value: Any) -> Any:
    if not isinstance(value, dict):
        return Delay
    return WaitDate if {"until_date", "before", "past"} & value.keys() else WaitEvent


Wait = Annotated[Delay | WaitEvent | WaitDate, Choice(_wait)]


class Step(Strict):
    """One step: its id, and exactly one of the other fields."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema.update(_shown()))

    id: StepId | None = Field(
        None, description="The id of the step. Default: its position, counted from 0.", examples=["reminder"]
    )
    email: EmailStep | None = Field(
        None, description="Send an email.", examples=[{"template": "invoice-reminder"}]
    )
    task: TaskStep | None = Field(
        None, description="Create a task.", examples=[{"title": "Call {{ account.name }}"}]
    )
    webhook: WebhookStep | None = Field(
        None, description="Call a webhook endpoint.", examples=[{"endpoint": "crm"}]
    )
    digest: DigestStep | None = Field(
        None,
        description="Put an item on a mail that goes out once a day.",
        examples=[{"template": "morning-list", "to": "owner", "at": "09:00"}],
    )
    wait: Wait | None = Field(None, description="Wait for a time, an event or a date.", examples=["7d"])
    branch: Branch | None = Field(None, description="Take one of two branches, depending on a condition.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of {', '.join(KINDS)}; got {', '.join(given) or 'none'}")
        return self

    @property
    def channel(self) -> tuple[str, ChannelStep] | None:
        """The channel that the step is for, and what it says; None: it waits, or is a branch."""
        for name in CHANNEL_STEPS:
            words: ChannelStep | None = getattr(self, name)
            if words is not None:
                return name, words
        return None

    @property
    def words(self) -> tuple[str, ChannelStep | DigestStep] | None:
        """What the step says of documents and events, with its field; None: it waits, or is a branch."""
        return self.channel if self.digest is None else ("digest", self.digest)


Branch.model_rebuild()
KINDS = tuple(name for name in Step.model_fields if name != "id")
# The register of the channels' words: each is a field of `Step`. Its package is in `services/actions/channels/`.
CHANNEL_STEPS: dict[str, type[ChannelStep]] = {
    name: model
    for name, field in Step.model_fields.items()
    for model in get_args(field.annotation)
    if isinstance(model, type) and issubclass(model, ChannelStep)
}


def _shown() -> dict[str, Any]:
    """What the JSON Schema of a step says beside its fields."""
    return {"description": f"A step: exactly one of {', '.join(KINDS)}.", **exactly_one(*KINDS)}


if TYPE_CHECKING:
    ChannelName = str
else:
    ChannelName = Literal[tuple(CHANNEL_STEPS)]

StepList = Annotated[list[Step], Field(max_length=MAX_STEPS)]


class TierSteps(Strict):
    """Steps per tier. A tier that is left out is not covered."""

    model_config = ConfigDict(json_schema_extra=at_least_one(*TIERS))

    high: StepList | None = Field(None, description="The steps for high touch.")
    low: StepList | None = Field(None, description="The steps for low touch.")
    tech: StepList | None = Field(None, description="The steps for tech touch.")

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.high is None and self.low is None and self.tech is None:
            raise ValueError("needs steps for at least one of high, low, tech")
        return self


Steps = Annotated[
    list[Step] | TierSteps, Choice(lambda value: StepList if isinstance(value, list) else TierSteps)
]
Exit = Annotated[
    EventMatch | ValueChange,
    Choice(lambda value: ValueChange if isinstance(value, dict) and "changed" in value else EventMatch),
]
ExitList = Annotated[list[Exit], Field(max_length=20)]
Exits = Annotated[
    EventMatch | ValueChange | list[EventMatch | ValueChange],
    Choice(lambda value: ExitList if isinstance(value, list) else Exit),
]


class PlayLimit(Strict):
    """How many plays of a playbook may begin within a time."""

    plays: int = Field(
        ge=1, le=1_000_000, strict=True, description="How many plays may begin.", examples=[50]
    )
    within: Duration = Field(description="The length of time in which they may begin.", examples=["1h"])


class PlaybookIn(Strict):
    """A playbook to save."""

    read_only: ClassVar[frozenset[str]] = OF_VERSIONS | {"unhealthy", "status", "paused", "sentence"}

    name: Name = Field(
        description="The name of the playbook, which rules refer to.", examples=["invoice-overdue"]
    )
    description: str | None = Field(None, max_length=10_000, description="A description for people.")
    topic: str = Field(
        "lifecycle",
        min_length=1,
        max_length=64,
        pattern=TOPIC,
        description="The topic of the mails, from which a contact can unsubscribe.",
        examples=["billing"],
    )
    exit_when: Exits | None = Field(
        None,
        description="What ends a play early: an event, a changed value, or a list of these.",
        examples=[{"event": "invoice.paid", "by": "data.invoice"}],
    )
    holdout: Holdout | None = Field(
        None,
        description=f"The per cent of accounts that are left alone, to see what the playbook does: 0 to {MAX_HOLDOUT}. "
        "Accounts that are held out stay so when the share is raised.",
        examples=[10],
    )
    goal: Goal | None = Field(
        None,
        description="What the playbook is for: an event that is awaited after each trigger, also for "
        "accounts that are held out.",
        examples=[{"event": "invoice.paid", "by": "data.invoice", "within": "14d"}],
    )
    limit: PlayLimit | None = Field(
        None,
        description="How many plays may begin within a time, over all accounts. The next play is held and "
        "pauses the playbook. Default: 20 or a fifth of the known accounts, whichever is "
        "greater, within 1h. Null means no limit.",
        examples=[{"plays": 50, "within": "1h"}],
    )
    held_for: Duration | None = Field(
        None,
        description="How long a play is held at most before it is skipped. Default: 7d.",
        examples=["7d"],
    )
    priority: int | None = Field(
        None,
        ge=1,
        le=9,
        strict=True,
        description="Whose mail goes first where the sending policy lets one of several begin: 1 to 9, and 9 "
        "goes first. Default: 5.",
        examples=[7],
    )
    steps: Steps = Field(
        description="One list of steps for all tiers, or a list per tier.",
        examples=[[{"email": {"template": "invoice-reminder"}}, {"wait": "7d"}]],
    )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for tier, steps in self.by_tier().items():
            check_steps(tier, steps, "steps" if isinstance(self.steps, list) else f"steps.{tier}")
        return self

    @property
    def exits(self) -> list[EventMatch | ValueChange]:
        """`exit_when` as a list."""
        if self.exit_when is None:
            return []
        return self.exit_when if isinstance(self.exit_when, list) else [self.exit_when]

    @property
    def watched(self) -> tuple[str, ...]:
        """The paths whose values must stay as they were."""
        return tuple(one.changed for one in self.exits if isinstance(one, ValueChange))

    def by_tier(self) -> dict[str, list[Step]]:
        """The steps of every tier that is covered."""
        if isinstance(self.steps, list):
            return dict.fromkeys(TIERS, self.steps)
        every = {"high": self.steps.high, "low": self.steps.low, "tech": self.steps.tech}
        return {tier: steps for tier, steps in every.items() if steps is not None}

    def references(self) -> Iterator[tuple[str, str, str]]:
        """Every ("template" | "endpoint", name, path of the field) that the steps name."""
        lists = {"steps": self.steps} if isinstance(self.steps, list) else self.by_tier()
        for tier, steps in lists.items():
            yield from _references(steps, tier if tier == "steps" else f"steps.{tier}")


def _references(steps: list[Step], path: str) -> Iterator[tuple[str, str, str]]:
    for place, step in enumerate(steps):
        if step.words is not None:
            name, words = step.words
            yield from (
                (kind, it, f"{path}.{place}.{name}.{field}") for kind, it, field in words.references()
            )
        elif step.branch is not None:
            yield from _references(step.branch.then, f"{path}.{place}.branch.then")
            yield from _references(step.branch.else_, f"{path}.{place}.branch.else")


def numbered(steps: list[Step], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Step, int]]:
    """Every step with its id (its own, else its place: `2`, or `2.then.0` inside a branch) and its depth."""
    for place, step in enumerate(steps):
        name = step.id or f"{prefix}{place}"
        yield name, step, depth
        if step.branch is not None:
            yield from numbered(step.branch.then, f"{name}.then.", depth + 1)
            yield from numbered(step.branch.else_, f"{name}.else.", depth + 1)


def check_steps(tier: str, steps: list[Step], at: str = "steps") -> None:
    """Raises ValueError for a tier's steps with an id given twice, too many steps, or too deep a branch.

    `at`: where the steps stand in the playbook.
    """
    seen: set[str] = set()
    for name, _, depth in numbered(steps):
        if name in seen:
            raise invalid("the steps of tier {tier} have the id {id} twice", tier=tier, id=name, at=at)
        seen.add(name)
        if len(seen) > MAX_STEPS:
            raise invalid("tier {tier} has more than {most} steps", tier=tier, most=MAX_STEPS, at=at)
        if depth > MAX_DEPTH:
            raise invalid("tier {tier} has branches more than {most} deep", tier=tier, most=MAX_DEPTH, at=at)
    _check_skips(steps, at)


def _check_skips(steps: list[Step], at: str) -> None:
    """`past: skip` leaves out the step right behind it: there must be one, and none that waits itself."""
    for place, step in enumerate(steps):
        if isinstance(step.wait, WaitDate) and step.wait.past == "skip":
            behind = steps[place + 1] if place + 1 < len(steps) else None
            if behind is None or behind.wait is not None:
                why = "skip leaves out the step right behind the wait: there must be one, and no other wait"
                raise invalid(why, at=f"{at}.{place}.wait.past")
        if step.branch is not None:
            _check_skips(step.branch.then, f"{at}.{place}.branch.then")
            _check_skips(step.branch.else_, f"{at}.{place}.branch.else")
