"""What every trigger kind says of itself, so that rules, lint and sentences need no list of kinds. Pure."""

from abc import abstractmethod
from functools import cache
from typing import Any, ClassVar, get_args

from pydantic import Field

from schemas.conditions.model import Condition, EventCondition
from schemas.duration import Duration
from schemas.fields import Strict, Types
from schemas.tiered import TierMap, for_tier


class Selector(Strict):
    """Which events count: one type, several types, or "*" for every type that is not reserved."""

    event: Types = Field(
        description='The events: a type, a list of types, or "*" alone (every type that is not reserved).',
        examples=["ticket.opened"],
    )
    where: EventCondition | None = Field(
        default=None,
        description="A condition that the event must satisfy.",
        examples=[{"data.severity": {"in": ["high", "urgent"]}}],
    )


class Since(Selector):
    """Count only from the subject's last event of this kind on; with `for`, only for that long."""

    for_: Duration | None = Field(
        default=None, alias="for", description="Stop counting this long after the event.", examples=["14d"]
    )


class KindWords(Strict):
    """The words of one trigger kind. What is abstract here, or has no value, each kind has to say."""

    example: ClassVar[dict[str, Any]]  # a body as JSON, with every field that the kind needs
    has_value: ClassVar[bool]  # its triggers have a value and the window that it was measured over
    has_threshold: ClassVar[bool]  # its triggers have what the value, or the time, was compared with
    has_figures: ClassVar[bool] = False  # its triggers have figures beside the value

    @property
    def rests_on_silence(self) -> bool:
        """Whether it may hold because events did not come, so that a silent source would make it hold."""
        return False

    @property
    def spans_looked_at(self) -> list[str]:
        """The durations that it looks back over, of all tiers; none where it does not rest on silence."""
        return []

    @property
    @abstractmethod
    def at_tick(self) -> bool:
        """Whether it is decided at the daily tick, thus only for whole accounts."""

    @property
    @abstractmethod
    def has_event(self) -> bool:
        """Whether its triggers show an event: the one that decided it, or armed its moment."""

    @abstractmethod
    def default_cooldown(self, tier: str) -> str:
        """What holds in a tier where the rule says nothing: a duration, `0s` or `once`."""

    @property
    def selectors(self) -> list[Selector]:
        """The events that may make it fire: itself, where it selects events."""
        return [self] if isinstance(self, Selector) else []

    @property
    def dates(self) -> list[str]:
        """The paths that it reads as dates."""
        return []

    @property
    def dates_ahead(self) -> list[str]:
        """Those of them that it fires before."""
        return []

    @property
    def numbers(self) -> list[str]:
        """The paths that it reads as numbers; those of events are paths of its own `event`."""
        return []

    @property
    def conditions(self) -> list[Condition]:
        """Its conditions over the profile; those of selectors are not among them."""
        return []

    def misfit(self, scope: str) -> tuple[str, str] | None:  # noqa: ARG002
        """The field that does not go with the rule's scope, and why."""
        return None

    @classmethod
    def tiered_fields(cls) -> tuple[str, ...]:
        """The fields that may hold a value per tier."""
        return _tiered(cls)

    def covers(self, tier: str) -> bool:
        """Whether it says something for this tier."""
        given = [value for name in self.tiered_fields() if (value := getattr(self, name)) is not None]
        return all(for_tier(value, tier) is not None for value in given)


@cache
def _tiered(kind: type[KindWords]) -> tuple[str, ...]:
    return tuple(name for name, field in kind.model_fields.items() if _has_tiers(field.annotation))


def _has_tiers(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, TierMap):
        return True
    return any(_has_tiers(one) for one in get_args(annotation))


def check_words(name: str, annotation: Any) -> type[KindWords]:
    """The words that a field of the register holds.

    Raises `TypeError` if they lack something: when the register is made, not when a rule fires.
    """
    kind = next((one for one in get_args(annotation) if one is not type(None)), annotation)
    if not (isinstance(kind, type) and issubclass(kind, KindWords)):
        raise TypeError(f"trigger kind {name}: {kind!r} has to be a KindWords")
    lacking = sorted(kind.__abstractmethods__)
    lacking += [one for one in ("example", "has_value", "has_threshold") if not hasattr(kind, one)]
    lacking += [
        f"a description of {one}" for one, field in kind.model_fields.items() if not field.description
    ]
    if lacking:
        raise TypeError(f"trigger kind {name} lacks {', '.join(lacking)}")
    kind.model_validate(kind.example)
    return kind
