"""`/v1/brand`: whose mails they are, one document in versions."""

from fastapi import APIRouter
from pydantic import Field

from backbone.clock import Clock
from backbone.database import Database
from backbone.documents.single import SingleKind, single_router
from schemas.answers import Answer, FieldWarning, Time
from schemas.brand import BRAND_EXAMPLE, KIND, BrandIn, in_scope
from services.actions.storage.library import BRANDS

_ABOUT = "Every mail that is rendered from now on shows it. What waits to be sent stays as it was rendered."


class BrandOut(Answer):
    """The saved brand. Before the first save, `version` is 0, and all of its fields are null."""

    name: str | None = Field(description="The name that readers know you by.", examples=["Acme"])
    postal_address: str | None = Field(description="The postal address in the footer of mails.")
    logo_url: str | None = None
    colour: str | None = None
    product_url: str | None = None
    support_url: str | None = None
    footer: str | None = None
    version: int = Field(
        description="The number of the version. 0 if nobody has saved a brand yet.", examples=[3]
    )
    changed_by: str = Field(default="", description="The name of the API key.", examples=["jo"])
    changed_at: Time = ""
    warnings: list[FieldWarning] = Field(default=[], description="There are none.")


def router(db: Database, clock: Clock) -> APIRouter:
    """The routes."""
    kind = SingleKind(
        KIND, "the brand that mails show", BrandIn, BrandOut, BRAND_EXAMPLE, "actions:read", "actions:write",
        about=_ABOUT, lint=lambda _connection, _body: [], unsaved=in_scope(None),
    )  # fmt: skip
    return single_router(kind, BRANDS, db, clock)
