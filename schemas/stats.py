"""How many rows there are, as `GET /v1/stats/{kind}` answers it (contract, section 14)."""

from typing import Any

from pydantic import BaseModel, Field, create_model

from schemas.answers import Answer

_WORDS = {
    "day": ("The day in the timezone that was asked for.", "2026-12-01"),
    "rule": ("The name of the rule. Null for what no rule started.", "support-spike"),
    "tier": ("The tier. Null if there is none.", "high"),
    "status": ("The status.", "done"),
    "reason": ("The reason. Null if there is none.", "completed"),
    "playbook": ("The name of the playbook. Null for what no playbook made.", "support-outreach"),
    "channel": ("The channel: `email`, `task` or `webhook`.", "email"),
    "assignee": ("The assignee's address, in lower case. Null for tasks without one.", "kim@us.test"),
}
N = Field(description="How many there are.", examples=[3])


def stats_of(kind: str, dimensions: list[str]) -> type[BaseModel]:
    """The model of an answer: `TriggerStats` for `triggers`."""
    name = kind.removesuffix("s").capitalize()
    fields: dict[str, Any] = {one: (str | None, _field(one)) for one in dimensions}
    item = create_model(
        f"{name}Count", __base__=Answer, __doc__=f"How many {kind} there are.", n=(int, N), **fields
    )
    words = f"Counts of {kind}, sorted by what they are split by."
    items: Any = (list[item], ...)  # type: ignore[valid-type]
    return create_model(f"{name}Stats", __base__=Answer, __doc__=words, items=items)


def _field(dimension: str) -> Any:
    words, example = _WORDS[dimension]
    return Field(default=None, description=f"{words} Only if `by` has it.", examples=[example])
