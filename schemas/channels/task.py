"""The step `task`."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from pydantic import Field

from schemas.channels.base import ChannelStep, Delay, Person


class TaskStep(ChannelStep):
    """Create a task, or update the open task with the same account and key."""

    events: ClassVar[Mapping[str, str]] = {}
    emits = ("task.created",)
    thing = "a task"
    thing_for = "a task for {to}"
    done = "the task was put on the list"
    peer = "the other side"
    nobody = "the other side"

    title: str = Field(
        min_length=1,
        max_length=2_000,
        description="A template for the title.",
        examples=["Call {{ account.name }}"],
    )
    body: str | None = Field(
        None,
        max_length=50_000,
        description="A template for the body.",
        examples=["Last login a month ago."],
    )
    assignee: Person = Field(
        "owner", description="Who gets the task: `owner` or an address.", examples=["finance@us.test"]
    )
    due: Delay | None = Field(None, description="How long after the step the task is due.", examples=["2d"])
    priority: str | None = Field(
        None,
        min_length=1,
        max_length=32,
        description="The priority: any word that your team uses.",
        examples=["high"],
    )
    key: str | None = Field(
        None,
        min_length=1,
        max_length=400,
        description="A template for the key of the task. Two tasks of an account with the same key are one. "
        "Default: playbook, step and subject.",
        examples=["renewal-call"],
    )

    def references(self) -> Iterator[tuple[str, str, str]]:
        """None."""
        yield from ()

    def texts(self) -> Iterator[tuple[str, str]]:
        """Title, body and key."""
        texts = {"title": self.title, "body": self.body, "key": self.key}
        yield from ((name, text) for name, text in texts.items() if text is not None)
