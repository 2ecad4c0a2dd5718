"""What goes into the renderer and what comes out: plain structs that travel to the render process
and back (`wire_format`)."""

from typing import Any, Literal

import msgspec

MIB = 1024 * 1024
CPU_SECONDS = 0.5  # of one rendering; less after a template ran into it (see `circuit_breaker`)
GRACE_SECONDS = 0.1  # after which the render process is killed, where C code does not come to an end
WALL_SECONDS = 10.0  # without an answer; the machine is starved then, or the process is stuck
MEMORY_BYTES = 128 * MIB  # on top of what a warm process holds
PART_CHARS = 256 * 1024  # of one rendered part: the HTML, the text, one string of a body
SUBJECT_CHARS = 500
SOURCE_CHARS = 128 * 1024  # of one part of a template

SCOPE = (
    *("account", "contact", "owner", "trigger", "tier", "unsubscribe_url", "now", "brand"),
    *("items", "more"),  # of a digest
    "action",  # of a webhook
)


class MailJob(msgspec.Struct, tag="mail", kw_only=True, omit_defaults=True):
    """One mail to render. `markdown` or `html` is given; `context` holds the names of `SCOPE`.

    `literal`: subject and markdown are no templates, and stand as they are.
    `sent_by` ("Jo Doe (jo@us.test)") and `topic` stand in the footer; without a `context["unsubscribe_url"]`
    the mail is an internal one and has no footer.

    `locale`: whose customs dates and amounts follow; empty: `en-US`. `lang`: the language of the text; empty: unknown.
    `at` is the path to the fields in the template, for errors (`variants.fr.`).
    """

    subject: str
    markdown: str | None = None
    html: str | None = None
    text: str | None = None
    context: dict[str, Any]
    topic: str = "lifecycle"
    sent_by: str = ""
    locale: str = ""
    lang: str = ""
    at: str = ""
    literal: bool = False


def one_line(text: str) -> str:
    """The text as a subject shows it: line breaks and control characters become spaces, and several spaces one."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


class TextJob(msgspec.Struct, tag="text", kw_only=True, omit_defaults=True):
    """A JSON value in which every string is a template: a task's title and body, a webhook's body.

    `typed`: a string that is one `{{ expression }}` and nothing else gives its value, not the value as text.
    """

    body: Any
    context: dict[str, Any]
    typed: bool = False


class CheckJob(msgspec.Struct, tag="check", kw_only=True, omit_defaults=True):
    """Templates to be checked, not rendered: field (a path) to source."""

    sources: dict[str, str]


Job = MailJob | TextJob | CheckJob


class Mail(msgspec.Struct, tag="mail", frozen=True):
    """A rendered mail: the subject is one line, `html` a whole document, `text` ends with a newline."""

    subject: str
    html: str
    text: str


class Body(msgspec.Struct, tag="body", frozen=True):
    """A rendered `TextJob`: the same JSON value with its strings filled in."""

    body: Any


class Flaw(msgspec.Struct, frozen=True):
    """What is wrong with a template: the field it stands in, the line (from 1) and a sentence."""

    field: str
    line: int
    message: str


class Checked(msgspec.Struct, tag="checked", frozen=True):
    """The outcome of a `CheckJob`: no flaws means that it compiles; `names` are those it takes from the scope."""

    flaws: list[Flaw]
    names: list[str]


class Failure(msgspec.Struct, tag="failure", frozen=True, omit_defaults=True):
    """Why a rendering came to nothing. `spent`: it used up its time or memory; `tried`: it was begun at all."""

    reason: Literal["template_error", "template_limits"]
    message: str
    field: str = ""
    line: int = 0
    spent: bool = False
    tried: bool = True


Answer = Mail | Body | Checked | Failure


class RenderError(Exception):
    """A rendering that failed. `reason` is one of the closed set; `line` counts from 1, and is 0 where unknown."""

    def __init__(self, reason: str, message: str, field: str = "", line: int = 0) -> None:
        place = f"{field}, line {line}: " if field and line else f"{field}: " if field else ""
        super().__init__(place + message)
        self.reason = reason
        self.field = field
        self.line = line
        self.message = message

    @classmethod
    def of(cls, failure: Failure) -> "RenderError":
        """The error that a `Failure` stands for."""
        return cls(failure.reason, failure.message, failure.field, failure.line)
