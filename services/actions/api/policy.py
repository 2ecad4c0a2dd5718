"""`/v1/policy`: the sending policy, one document in versions."""

from fastapi import APIRouter

from backbone.clock import Clock
from backbone.database import Database
from backbone.documents.single import SingleKind, single_router
from schemas.answers import PolicyOut
from schemas.policy import POLICY_EXAMPLE, PolicyDoc
from services.actions.published_outlines import warnings_about_policy
from services.actions.storage.library import POLICY

_ABOUT = """Replaces the whole policy, also for mails that already wait: it holds from their next look. An empty policy,
`{}`, limits nothing.

The policy holds for mails to contacts. Mails to `owner` or to an address, tasks and webhooks do not wait for it."""


def router(db: Database, clock: Clock) -> APIRouter:
    """The routes."""
    kind = SingleKind(
        "policy", "the sending policy", PolicyDoc, PolicyOut, POLICY_EXAMPLE, "actions:read", "actions:write",
        about=_ABOUT, lint=warnings_about_policy,
    )  # fmt: skip
    return single_router(kind, POLICY, db, clock)
