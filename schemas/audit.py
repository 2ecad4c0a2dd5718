"""What the audit answers."""

from typing import Any

from pydantic import Field

from schemas.answers import Answer, Time


class AuditEntryOut(Answer):
    """One change."""

    id: str = Field(examples=["aud_019372f0c5c17c3e8f6a5d2b9c4e1f70"])
    at: Time
    service: str = Field(
        description="Whose it was: ingest, rules, actions; backbone: the keys.", examples=["rules"]
    )
    actor: str = Field(description="Name of the API key; `touchline keys` for that command.", examples=["jo"])
    method: str = Field(description="Of the call; of the command: `keys create`.", examples=["PUT"])
    route: str = Field(
        description="The call's path, without what stood in it.", examples=["/v1/rules/{name}"]
    )
    object: str = Field(description="Kind and name, or id.", examples=["rule/support-spike"])
    version: int | None = Field(description="Of the document; null where it has none.", examples=[3])
    before: dict[str, Any] | None = Field(description="Null: it was not there.")
    after: dict[str, Any] | None = Field(description="Null: it is not there any more.")
