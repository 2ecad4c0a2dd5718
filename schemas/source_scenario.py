"""A test of a source (`*.test.yaml` with `source`): a hook, and the complete list of the events it must become."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from schemas.scenario import Moment


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SourceExpectation(_Strict):
    """What must come of the hook. The list is complete: events that it does not name must not come."""

    events: list[dict[str, Any]] = Field(
        description="The expected events. Each is compared by the fields that it gives: `type`, `id`, `time`, `data`; "
        "`account`, the ways to find it, such as `{external_id: cus_1}`; `contact`, such as `{email: ann@acme.test}`."
    )
    ignored: int | None = Field(None, description="How many elements no `when` holds for.")
    rejected: list[dict[str, Any]] | None = Field(
        None, description="The expected refusals of elements, by `index`, `code`, `field` and `message`."
    )
    verified: bool | None = Field(
        None, description="Whether the request is one of the other system. For this, give `secrets`."
    )


class SourceScenario(_Strict):
    """A test of a source. Nothing is sent, and nothing is looked up."""

    description: str | None = None
    source: str = Field(
        min_length=1,
        description="The file with the source, relative to this file; or its name, in a file of that name beside it.",
        examples=["stripe.yaml"],
    )
    body: Any = Field(description="The body: a value, or a text as the raw body.")
    headers: dict[str, str] = Field(default_factory=dict, description="The headers of the request.")
    url: str = Field(
        "", description="The address that was called, with its query, for what signs or holds it."
    )
    secrets: dict[str, str] = Field(
        default_factory=dict, description="The values of the source's variables, such as `STRIPE_SECRET`."
    )
    received: Moment | None = Field(
        None, description="When the request comes, for schemes that carry a time. Default: they are too old."
    )
    expect: SourceExpectation
