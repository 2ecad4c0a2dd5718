"""A mail template as it is written (contract, section 7)."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from schemas.choice import exactly_one
from schemas.fields import OF_VERSIONS, Name, Strict, invalid
from schemas.locales import best, valid_tag

SOURCE_CHARS = 128 * 1024
MAX_VARIANTS = 100
Tag = Annotated[str, AfterValidator(valid_tag)]


class _Texts(Strict):
    """What a mail says: a subject, and Markdown or HTML."""

    model_config = ConfigDict(json_schema_extra=exactly_one("markdown", "html"))

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

    def texts(self) -> dict[str, str]:
        """The templates by field."""
        fields = {"subject": self.subject, "markdown": self.markdown, "html": self.html, "text": self.text}
        return {field: source for field, source in fields.items() if source is not None}


class Variant(_Texts):
    """A template for readers of one locale."""


class _Named(Strict):
    name: Name = Field(description="The name that playbooks refer to.", examples=["invoice-reminder"])
    description: str | None = Field(None, max_length=10_000, description="For people.")


class TemplateIn(_Texts, _Named):
    """A mail template to save: a subject, and Markdown or HTML. The text part is made from these unless
    given.
    """

    read_only: ClassVar[frozenset[str]] = OF_VERSIONS

    variants: dict[Tag, Variant] = Field(
        default={},
        max_length=MAX_VARIANTS,
        description="The same mail for readers of other locales, by BCP 47 tag. A contact gets the variant for "
        "their own locale, else one for a shorter tag (of `fr-CA`: `fr`), else the template itself.",
        examples=[{"fr": {"subject": "Facture {{ trigger.key }}", "markdown": "Bonjour,"}}],
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        known: dict[str, str] = {}
        for tag in self.variants:
            other = known.setdefault(tag.lower(), tag)
            if other != tag:
                raise invalid("{tag} and {other} are one locale", tag=tag, other=other, at=f"variants.{tag}")
        return self

    def sources(self) -> dict[str, str]:
        """The templates by field; those of variants as `variants.fr.subject`."""
        found = self.texts()
        for tag, variant in self.variants.items():
            found |= {f"variants.{tag}.{field}": source for field, source in variant.texts().items()}
        return found


def variant_of(document: Mapping[str, Any], locale: str | None) -> tuple[str, Mapping[str, Any]]:
    """The tag and texts of a template's document for a reader; the tag is empty for the template itself."""
    return best(document.get("variants") or {}, locale) or ("", document)
