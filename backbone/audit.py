"""The audit: who changed what, by which call. An entry is written in the transaction of its change, so there is one for
every change that succeeded and none for one that failed.

Routes write theirs with `backbone.web.audit.Trail`; `docs/recipes/change.md` says how.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import uuid_utils
from sqlalchemy import Connection, delete, insert, select

from backbone.clock import Clock
from backbone.database import Database
from backbone.tables import audit

COMMAND = "touchline keys"  # the actor where there is no key: whoever may run commands on the machine
OF_ALL = "backbone"  # the service of what belongs to the installation: the keys
MASK = "***"
# Fields whose values are never written down, wherever they stand in a document.
SECRET = frozenset(
    {
        "secret",
        "secrets",
        "password",
        "token",
        "bearer",
        "client_secret",
        "signing_key",
        "private_key",
        "headers",
    }
)
NO_PART = frozenset({"secret_is_new"})  # kept with documents, and nobody's business

_encode = msgspec.json.Encoder(enc_hook=str).encode


class AuditTrail:
    """Writes the entries of one call: of a request, or of a command."""

    def __init__(self, clock: Clock, service: str, actor: str, method: str, route: str = "") -> None:
        self._clock, self._service = clock, service
        self.actor, self._method, self._route = actor, method, route

    def note(
        self,
        connection: Connection,
        kind: str,
        name: str,
        *,
        version: int | None = None,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Write an entry: what `kind/name` was before and is after; None: it was, or is, not there.

        Secrets are masked here. The caller leaves out what people are called and have written: of accounts and
        contacts, and of what belongs to one, ids alone.
        """
        row = {
            "id": f"aud_{uuid_utils.uuid7().hex}",
            "at": self._clock.now(),
            "service": self._service,
            "actor": self.actor,
            "method": self._method,
            "route": self._route,
            "kind": kind,
            "name": name,
            "version": version,
            "before": _written(before),
            "after": _written(after),
        }
        connection.execute(insert(audit).values(**row))


def command_trail(clock: Clock, verb: str) -> AuditTrail:
    """The trail of `touchline keys VERB`."""
    return AuditTrail(clock, OF_ALL, COMMAND, f"keys {verb}")


def masked(value: Any) -> Any:
    """A value without its secrets."""
    if isinstance(value, Mapping):
        return {
            name: MASK if name in SECRET and each is not None else masked(each)
            for name, each in value.items()
            if name not in NO_PART
        }
    if isinstance(value, list | tuple):
        return [masked(each) for each in value]
    return value


def _written(shown: Mapping[str, Any] | None) -> str | None:
    return None if shown is None else _encode(masked(shown)).decode()


def prune(db: Database, before: int) -> None:
    """Delete the entries from before this time (microseconds)."""
    with db.read() as connection:
        old = connection.scalar(select(audit.c.seq).where(audit.c.at < before).limit(1))
    if old is not None:
        with db.write() as connection:
            connection.execute(delete(audit).where(audit.c.at < before))
