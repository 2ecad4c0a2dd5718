"""`/v1/policy`: the sending policy, one document in versions."""

from collections.abc import Callable

from fastapi import APIRouter
from sqlalchemy import Connection

from backbone.clock import Clock
from backbone.database import Database
from backbone.documents.single import SingleKind, single_router
from backbone.errors import DatabaseUnavailable
from schemas.answers import PolicyOut
from schemas.policy import POLICY_EXAMPLE, PolicyDoc
from services.actions.policy.rules import compile_policy
from services.actions.published_outlines import warnings_about_policy
from services.actions.storage import beginnings, sending
from services.actions.storage.library import POLICY
from services.actions.storage.sending import LockBusy
from services.actions.storage.suppressions import Hasher

_ABOUT = """Replaces the whole policy, also for mails that already wait: it holds from their next look. An empty policy,
`{}`, limits nothing.

The policy holds for mails to contacts. Mails to `owner` or to an address, tasks and webhooks do not wait for it."""


LOCK_MS = 5_000  # for beginnings under way, which take milliseconds


def router(db: Database, clock: Clock, oldest: Callable[[Connection], int], hasher: Hasher) -> APIRouter:
    """The routes. `oldest` gives the time of the partition furthest behind."""

    def prepare(conn: Connection, body: PolicyDoc) -> None:
        """Collect what the caps count, while nothing begins."""
        try:
            sending.lock_alone(conn, LOCK_MS)
        except LockBusy:
            raise DatabaseUnavailable("the policy could not be saved: a process keeps its lock") from None
        beginnings.collect(conn, compile_policy(body), oldest(conn), hasher)

    kind = SingleKind(
        "policy", "the sending policy", PolicyDoc, PolicyOut, POLICY_EXAMPLE, "actions:read", "actions:write",
        about=_ABOUT, lint=warnings_about_policy, prepare=prepare,
    )  # fmt: skip
    return single_router(kind, POLICY, db, clock)
