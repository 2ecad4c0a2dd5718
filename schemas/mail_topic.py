"""What a topic of mails is called for its readers."""

from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from schemas.answers import KeptDocument
from schemas.fields import OF_VERSIONS, Strict

# All that playbooks can have as a topic, spaces included.
TopicName = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,127}$")]


class TopicIn(Strict):
    """A topic of mails, as the preference page shows it. Playbooks name topics freely; one with a title is also listed
    for those who have had no mail about it yet.
    """

    read_only: ClassVar[frozenset[str]] = OF_VERSIONS

    name: TopicName = Field(description="The topic, as playbooks name it.", examples=["billing"])
    title: str = Field(
        min_length=1,
        max_length=100,
        description="What its readers call it.",
        examples=["Invoices and payments"],
    )
    description: str | None = Field(
        None,
        max_length=500,
        description="What these mails are about, in a sentence or two for their readers.",
        examples=["Reminders of invoices that are due."],
    )

    @field_validator("title", "description")
    @classmethod
    def _one_line(cls, value: str | None) -> str | None:
        if value is not None and not value.isprintable():
            raise ValueError("should be one line of printable characters")
        if value is not None and not value.strip():
            raise ValueError("should not be blank")
        return value


class TopicOut(KeptDocument, TopicIn):
    """A saved topic."""
