"""A mail template as it is written (contract, section 7)."""

from typing import ClassVar, Self

from pydantic import ConfigDict, Field, model_validator

from schemas.choice import exactly_one
from schemas.fields import OF_VERSIONS, Name, Strict, invalid

SOURCE_CHARS = 128 * 1024


class TemplateIn(Strict):
    """A mail template to save: a subject, and Markdown or HTML. The text part is made from these unless
    given.
    """

    model_config = ConfigDict(json_schema_extra=exactly_one("markdown", "html"))
    read_only: ClassVar[frozenset[str]] = OF_VERSIONS

    name: Name = Field(description="The name that playbooks refer to.", examples=["invoice-reminder"])
    description: str | None = Field(None, max_length=10_000, description="For people.")
    subject: str = Field(
        min_length=1,
        max_length=2_000,
        description="A template for the subject, on one line.",
        examples=["Invoice {{ trigger.key }}"],
    )
    markdown: str | None = Field(
        None,
        min_length=1,
        max_length=SOURCE_CHARS,
        description="A template for the mail in Markdown. Give either this or `html`.",
        examples=["Hi {{ contact.name }},\n\nyour invoice {{ trigger.key }} is overdue."],
    )
    html: str | None = Field(
        None, min_length=1, max_length=SOURCE_CHARS, description="A template for the mail in HTML.",
        examples=["<p>Hi {{ contact.name }}</p>"],
    )  # fmt: skip
    text: str | None = Field(
        None,
        min_length=1,
        max_length=SOURCE_CHARS,
        description="A template for the text part. Default: made from the Markdown or HTML.",
        examples=["Hi {{ contact.name }}"],
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.markdown is None) == (self.html is None):
            raise invalid("needs exactly one of markdown and html", at="markdown")
        if "\n" in self.subject or "\r" in self.subject:
            raise invalid("the subject must be one line", at="subject")
        return self

    def sources(self) -> dict[str, str]:
        """The templates by field."""
        fields = {"subject": self.subject, "markdown": self.markdown, "html": self.html, "text": self.text}
        return {field: source for field, source in fields.items() if source is not None}
