"""The step `email`."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from pydantic import Field, StrictBool

from schemas.channels.base import ChannelStep, Person, Recipient
from schemas.duration import Duration
from schemas.fields import Name
from schemas.tiered import Tiered, for_tier


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
    approve: Tiered[StrictBool] = Field(
        False,
        description="Whether somebody has to approve each mail before it goes out: `true`, or an object with the "
        "tiers in which it is so. The play goes on meanwhile.",
        examples=[{"high": True}],
    )
    approver: Person = Field(
        "owner",
        description="Who gets the task to approve the mail: `owner` or an address.",
        examples=["lead@us.test"],
    )
    approve_within: Duration | None = Field(
        None,
        description="How long after the step the mail waits for its approval. After that it is skipped, "
        "`not_approved`. Default: 7d.",
        examples=["2d"],
    )

    def asks_approval(self, tier: str) -> bool:
        """Whether a mail of this step has to be approved in a play of this tier."""
        return for_tier(self.approve, tier) is True

    def follows(self, tier: str) -> tuple[str, ...]:
        """With an approval, its task too."""
        return (*self.emits, "task.created") if self.asks_approval(tier) else self.emits

    def references(self) -> Iterator[tuple[str, str, str]]:
        """Its template."""
        yield "template", self.template, "template"

    def texts(self) -> Iterator[tuple[str, str]]:
        """None: they stand in the template."""
        yield from ()
