"""The step `email`."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from pydantic import Field

from schemas.channels.base import ChannelStep, Person, Recipient
from schemas.duration import Duration
from schemas.fields import Name


class EmailStep(ChannelStep):
    """Send an email to each recipient."""

    events: ClassVar[Mapping[str, str]] = {
        "email.sent": "A mail was handed over.",
        "email.bounced": "A mail server refused the recipient for good, or a report says that the mail bounced.",
    }
    emits = ("email.sent",)
    thing = "an email"
    thing_for = "an email to {to}"
    done = "the email to {to} was sent"
    peer = "the mail server for {to}"
    nobody = "the mail server"

    template: Name = Field(description="The name of a saved template.", examples=["invoice-reminder"])
    to: Recipient = Field(
        "contact",
        description="The recipients: `contact` (the trigger's contact, else the first active admin, else the "
        "first active contact), `role:<role>`, `all`, `owner`, or an address.",
        examples=["role:admin"],
    )
    from_: Person | None = Field(
        None,
        alias="from",
        description="The sender: an address, or `owner`. Default: the owner, else the configured sender.",
        examples=["success@us.test"],
    )

    within: Duration | None = Field(
        None,
        description="How long after its step the mail may still begin. After that it is skipped (`too_late`).",
        examples=["12h"],
    )

    def references(self) -> Iterator[tuple[str, str, str]]:
        """Its template."""
        yield "template", self.template, "template"

    def texts(self) -> Iterator[tuple[str, str]]:
        """None: they stand in the template."""
        yield from ()
