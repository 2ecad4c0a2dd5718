"""Leases of due actions, as the delivery loop takes them."""

from sqlalchemy import Connection

from services.actions.plays.model import Leased
from services.actions.storage import leases


def lease_due(conn: Connection, now: int, owner: str, limit: int, *, log_clock: bool = False) -> list[Leased]:
    """Lease up to `limit` due actions for an owner."""
    due = leases.take_due(conn, now, limit, log_clock=log_clock)
    leases.lease(conn, due, owner, now)
    return due
