"""Checks at the start that the log and the tables belong together, and are of the same time.

Tables without their log would wait for events that never come. A log without its tables would meet no rules,
and later events would mail people who had unsubscribed. So both hold one mark, made on the first start, and
no service may have read further than the log goes.
"""

import secrets
from collections.abc import Iterable, Mapping
from typing import Literal

from sqlalchemy import select

from backbone.database import Database, upsert
from backbone.errors import ConfigurationError, LogUnavailable
from backbone.log import Log
from backbone.log.embedded.log import EmbeddedLog
from backbone.tables import facts

NAME = "log_mark"
Places = Mapping[tuple[str, int], int]  # (topic, partition) → the offset to read next
Loss = Literal["none", "log", "tables"]


def hold_together(db: Database, log: Log, places: Iterable[Places], accept: Loss) -> None:
    """Raise `ConfigurationError` unless `log` and `db` belong to one installation and to the same time.

    `places`: how far each service has read; empty for one that never has. `accept`: the loss that the
    operator accepts; the two are then joined anew.
    """
    read = [place for each in places for place in each.items()]
    if isinstance(log, EmbeddedLog):
        _same_mark(db, log, read, accept)
    _not_beyond(log, read)


def _same_mark(db: Database, log: EmbeddedLog, read: list[tuple[tuple[str, int], int]], accept: Loss) -> None:
    theirs, ours = log.mark, _mark(db)
    if theirs is not None and theirs == ours:
        return
    if ours is not None:  # the tables have read another log
        if accept != "log":
            raise ConfigurationError(_LOG_LOST)
        log.go_on_from(dict(sorted(read, key=lambda one: one[1])))
    elif theirs is not None and not log.empty and not read and accept != "tables":
        raise ConfigurationError(_TABLES_LOST)
    mark = theirs or secrets.token_hex(16)
    log.mark = mark  # checked first: tables with a mark have lost their log if it has none
    with db.write() as conn:
        upsert(conn, facts, [{"name": NAME, "value": mark.encode()}], ["name"])


def _mark(db: Database) -> str | None:
    with db.read() as conn:
        kept = conn.execute(select(facts.c.value).where(facts.c.name == NAME)).scalar()
    return None if kept is None else bytes(kept).decode()


def _not_beyond(log: Log, read: list[tuple[tuple[str, int], int]]) -> None:
    """Check that no service has read further than the log goes."""
    try:
        ends = {topic: log.end_offsets(topic) for topic in {topic for (topic, _), _ in read}}
    except LogUnavailable:
        return  # away: whoever reads finds out
    for (topic, partition), offset in sorted(read):
        end = ends[topic].get(partition)
        if end is not None and offset > end:
            raise ConfigurationError(
                f"the log is older than the tables: {topic}/{partition} ends at {end:,}, and was read up to {offset:,} "
                "already. Put back a log of the same time as the tables or later, or tables as old as the log; see "
                "Backup in docs/operations.md"
            )


_WAYS = (
    "Put back the missing one from a backup of the same time, or move both away to begin anew; see Backup in "
    "docs/operations.md. "
)
_LOG_LOST = (
    "log.db is not the log that touchline.db has read: it is missing or another one. Events that were not processed "
    f"yet are gone with it. {_WAYS}To go on without them, start once with TOUCHLINE_ACCEPT_LOSS=log"
)
_TABLES_LOST = (
    "touchline.db is new, and log.db is not: rules, plays, tasks and suppressions are gone, so people who unsubscribed "
    f"would get mail again. {_WAYS}To go on without them, start once with TOUCHLINE_ACCEPT_LOSS=tables"
)
