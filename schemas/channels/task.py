"""The step `task`."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from pydantic import Field

from schemas.channels.base import ChannelStep, Delay, Person


class TaskStep(ChannelStep):
    """Make a task, or update the open one with the same account and key."""

    events: ClassVar[Mapping[str, str]] = {}
    emits = ("task.created",)
    thing = "a task"
    thing_for = "a task for {to}"
    done = "the task was put on the list"
    peer = "the other side"
    nobody = "the other side"

    title: str = Field(
        min_length=1, max_length=2_000, description="A template.", examples=["Call {{ account.name }}"]
    )
    body: str | None = Field(
        None, max_length=50_000, description="A template.", examples=["Last login a month ago."]
    )
    assignee: Person = Field("owner", description="`owner` or an address.", examples=["finance@us.test"])
    due: Delay | None = Field(None, description="Time to do it, from the step on.", examples=["2d"])
    priority: str | None = Field(
        None, min_length=1, max_length=32, description="Any word that your team uses.", examples=["high"]
    )
    key: str | None = Field(
        None,
        min_length=1,
        max_length=400,
        description="What makes two tasks of an account one; a template. Default: playbook, step, subject.",
        examples=["renewal-call"],
    )

    def references(self) -> Iterator[tuple[str, str, str]]:
        """None."""
        yield from ()

    def texts(self) -> Iterator[tuple[str, str]]:
        """Title, body and key."""
        texts = {"title": self.title, "body": self.body, "key": self.key}
        yield from ((name, text) for name, text in texts.items() if text is not None)
