"""The step `webhook`."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import Field

from schemas.channels.base import ChannelStep
from schemas.fields import Name


class WebhookStep(ChannelStep):
    """Call an endpoint with a request that is signed as in Standard Webhooks 1.0.0."""

    events: ClassVar[Mapping[str, str]] = {
        "webhook.delivered": "An endpoint took a webhook.",
        "webhook.failed": "A webhook was given up.",
    }
    emits = ("webhook.delivered", "webhook.failed")
    thing = "a webhook"
    thing_for = "a webhook to {to}"
    done = "the webhook to {to} was delivered"
    peer = "the endpoint {to}"
    nobody = "the other side"

    endpoint: Name = Field(description="The name of a saved endpoint.", examples=["crm"])
    body: Any = Field(
        None,
        description=(
            "The body, a JSON value in which every string is a template. A string that is a single "
            "`{{ expression }}` becomes its value, with its type. Default: the endpoint's body, else "
            "play, account, contact and trigger."
        ),
        examples=[{"account": "{{ account.id }}", "flag": "overdue"}],
    )

    def references(self) -> Iterator[tuple[str, str, str]]:
        """Its endpoint."""
        yield "endpoint", self.endpoint, "endpoint"

    def texts(self) -> Iterator[tuple[str, str]]:
        """Every string in the body."""
        yield from strings(self.body, "body")


def strings(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every string in a JSON value, by its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from strings(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from strings(inner, f"{path}.{place}")
