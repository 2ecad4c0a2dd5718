"""Actions and tasks as the store in memory keeps them. Pure."""

from typing import Any

import msgspec

from services.actions.plays.model import ActionFacts


class MemoryAction(ActionFacts, kw_only=True):
    """An action as `touchline test` compares it; `rendered` is its content, {} if there is none."""

    status: str
    reason: str | None
    due_at: int
    begun_at: int | None = None  # of a mail to a contact that waited, or might have had to
    done_at: int | None = None  # when it ended, however it did
    template: str | None = None
    rendered: dict[str, Any] = msgspec.field(default_factory=dict)


class MemoryTask(msgspec.Struct, kw_only=True):
    """A task."""

    id: str
    play: str
    account: str
    key: str
    title: str
    body: str | None = None
    assignee: str | None = None
    status: str = "open"
    reason: str | None = None
    due_at: int | None = None


def drop(held: dict[str, Any], doomed: Any) -> None:
    """Drop those that are doomed."""
    for name in [name for name, one in held.items() if doomed(one)]:
        del held[name]
