"""The sending policy in force, read and compiled once per version."""

from sqlalchemy import Connection

from schemas.policy import PolicyDoc
from services.actions.policy.rules import SendingPolicy, compile_policy
from services.actions.storage.library import POLICY
from services.actions.storage.sql import Sql

_VERSION = Sql("""
    SELECT version FROM actions.actions_documents WHERE kind = 'policy' AND name = 'policy' AND NOT deleted
""")


class PolicyReader:
    """Reads the policy. For one thread."""

    def __init__(self) -> None:
        self._known: tuple[int, SendingPolicy] | None = None

    def current(self, conn: Connection) -> SendingPolicy | None:
        """The policy in force; None: there is none."""
        version = _VERSION.run(conn).scalar()
        if version is None:
            return None
        if self._known is None or self._known[0] != version:
            stored = POLICY.version(conn, POLICY.kind, version)
            self._known = version, compile_policy(PolicyDoc.model_validate(stored.doc))
        return self._known[1]


def is_in_force(conn: Connection) -> bool:
    """Whether there is a policy."""
    return _VERSION.run(conn).first() is not None
