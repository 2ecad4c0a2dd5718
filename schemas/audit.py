"""What the audit answers."""

from typing import Any

from pydantic import Field

from schemas.answers import Answer, Time


class AuditEntryOut(Answer):
    """A change in the audit trail."""

    id: str = Field(examples=["aud_019372f0c5c17c3e8f6a5d2b9c4e1f70"])
    at: Time
    service: str = Field(
        description="The service that made the change: ingest, rules or actions; backbone for API keys.",
        examples=["rules"],
    )
    actor: str = Field(
        description="The name of the API key, or `touchline keys` for that command.", examples=["jo"]
    )
    method: str = Field(
        description="The method of the call, or the command, such as `keys create`.", examples=["PUT"]
    )
    route: str = Field(
        description="The path of the call, with placeholders for its parameters.",
        examples=["/v1/rules/{name}"],
    )
    object: str = Field(
        description="The kind of object, with its name or id.", examples=["rule/support-spike"]
    )
    version: int | None = Field(description="The version of the document. Null if it has none.", examples=[3])
    before: dict[str, Any] | None = Field(
        description="The object before the change. Null if it did not exist."
    )
    after: dict[str, Any] | None = Field(
        description="The object after the change. Null if it no longer exists."
    )
