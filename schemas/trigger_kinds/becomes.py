"""becomes: an update turns a condition true."""

from typing import Any, ClassVar

from pydantic import Field

from schemas.conditions.model import Condition, ProfileCondition
from schemas.trigger_kinds.base import KindWords


class Becomes(KindWords):
    """An update makes a condition true."""

    example: ClassVar[dict[str, Any]] = {"is": {"account.attributes.health": {"lt": 50}}}
    has_value = False
    has_threshold = False
    at_tick: ClassVar[bool] = False
    has_event: ClassVar[bool] = True

    is_: ProfileCondition = Field(
        alias="is",
        description="The condition on the account and the contact.",
        examples=[{"account.attributes.health": {"lt": 50}}],
    )

    @property
    def conditions(self) -> list[Condition]:
        """What becomes true."""
        return [self.is_]

    def default_cooldown(self, tier: str) -> str:  # noqa: ARG002
        """None: each turn fires."""
        return "0s"
