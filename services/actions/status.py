"""The status of the actions service in `/v1/status`, from the database and the log: it holds for all its processes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, not_, or_, select

from backbone.clock import Clock
from backbone.database import Database
from backbone.log import EVENTS, TRIGGERS, Log
from backbone.status_metrics import Sample, lag_samples
from backbone.web.attention import BEHIND_US, Attention
from schemas.attention import AttentionKind
from schemas.event import rfc3339
from schemas.play_reasons import EXPLAINED, ActionReason
from schemas.sentences import states
from services.actions.metrics import (
    ACTIONS_DUE,
    ENDPOINT_DISABLED,
    ENDPOINT_FAILING,
    MAILS_WAITING,
    SECOND_US,
    SENDING_OFF,
)
from services.actions.plays.model import SENDABLE
from services.actions.storage import digests, endpoints, holds, outbox, ownership, sending
from services.actions.storage.endpoints import EndpointState
from services.actions.storage.leases import PUT_BACK_US
from services.actions.storage.ownership import ActionsPartition
from services.actions.storage.retention import is_swept
from services.actions.storage.sending import Sending
from services.actions.storage.standing import going
from services.actions.tables import actions, plays

MOST_SHOWN = 100  # endpoints that fail


def status(db: Database, log: Log, clock: Clock, *, log_clock: bool) -> Mapping[str, Any]:
    """`lag`: events and triggers not yet applied, and own events not yet on the log; `due`: actions, waits and digests
    not done.

    The database is read before the log's ends: if nothing is left at the second reading, nothing was at the first.
    With the log clock, the waits up to a partition's clock run with its events, so none is ever due.
    """
    now = clock.now()
    with db.read() as conn:
        places = ownership.positions(conn)
        waiting = outbox.count(conn)
        due = _due(conn, now, [] if log_clock else list(places))
        due += digests.count_due(conn, _earliest(log, places) if log_clock else now)
        switch = sending.current(conn)
        failing = endpoints.failing(conn)
    lag = waiting + sum(sum(_behind(log, topic, places).values()) for topic in (EVENTS, TRIGGERS))
    clocks = [row.clock for row in places.values() if row.clock]
    shown = (min(clocks) if clocks else None) if log_clock else now
    return {
        "lag": lag,
        "due": due,
        "clock": None if shown is None else rfc3339(shown),
        "sending": shown_switch(switch),
        "trouble": [_trouble(one) for one in failing[:MOST_SHOWN]],
        "idle": lag + due == 0 and all(is_swept(row, None if log_clock else now) for row in places.values()),
    }


def _trouble(one: EndpointState) -> dict[str, Any]:
    """An endpoint that fails, as `/v1/status` shows it."""
    detail = EXPLAINED[ActionReason(one.reason)] if one.reason in set(ActionReason) else str(one.reason)
    if one.disabled_at is not None:
        detail = f"disabled at {rfc3339(one.disabled_at)}; before that: {detail}"
    since = None if one.failing_since is None else rfc3339(one.failing_since)
    return {"channel": "webhook", "endpoint": one.name, "since": since, "detail": detail}


def shown_switch(switch: Sending) -> dict[str, Any]:
    """The sending switch, as `/v1/sending` and `/v1/status` show it."""
    return {
        "status": "off" if switch.off else "on",
        "reason": switch.reason,
        "by": switch.by,
        "at": None if switch.at is None else rfc3339(switch.at),
        "sentence": states.sending("off" if switch.off else "on", switch.reason, switch.by, switch.at),
    }


def measure(db: Database, log: Log, clock: Clock, *, log_clock: bool) -> Iterator[Sample]:
    """The same figures for Prometheus: how much is due, and the lag of each partition of both topics."""
    with db.read() as conn:
        places = ownership.positions(conn)
        due = _due(conn, clock.now(), [] if log_clock else list(places))
        due += digests.count_due(conn, _earliest(log, places) if log_clock else clock.now())
        off = sending.is_off(conn)
        failing = endpoints.failing(conn)
        waiting = conn.execute(_waiting).all()
    for why, count in waiting:
        yield Sample(MAILS_WAITING, (why,), count)
    yield Sample(ACTIONS_DUE, (), due)
    yield Sample(SENDING_OFF, (), int(off))
    for one in failing[:MOST_SHOWN]:
        yield Sample(ENDPOINT_FAILING, (one.name,), (clock.now() - (one.failing_since or 0)) / SECOND_US)
        if one.disabled_at is not None:
            yield Sample(ENDPOINT_DISABLED, (one.name,), 1)
    for topic in (EVENTS, TRIGGERS):
        yield from lag_samples(f"actions {topic.rpartition('.')[2]}", _behind(log, topic, places))


_why = func.coalesce(actions.c.reason, "")
_waiting = select(_why, func.count()).where(actions.c.waits).group_by(_why)


def _due(conn: Connection, now: int, partitions: Sequence[int]) -> int:
    """How many actions could be tried now, and how many waits of these partitions are over and not acted on.

    Actions that are under way, and those put back for others, count too. While sending is off, nothing else is due.
    """
    ready = select(func.count()).where(actions.c.status.in_(SENDABLE))
    if sending.is_off(conn):
        waits = actions.c.reason == ActionReason.SENDING_OFF
        ready = ready.where(actions.c.attempting, or_(actions.c.reason.is_(None), not_(waits)))
    else:
        under_way = actions.c.attempting & ~actions.c.parked
        later = actions.c.waits & (func.coalesce(actions.c.next_look_at, 0) > now)
        ready = ready.where(or_((actions.c.next_attempt_at <= now + PUT_BACK_US) & not_(later), under_way))
    found = (conn.scalar(ready) or 0) + holds.released(conn)
    return found + (_over(conn, now, partitions) if partitions else 0)


def _over(conn: Connection, now: int, partitions: Sequence[int]) -> int:
    """How many waits, and times to approve something, are over in these partitions and not acted on."""
    paused = holds.paused(conn)
    waits = select(func.count()).where(
        plays.c.partition.in_(partitions), plays.c.due_at <= now, *going(paused)
    )
    found = conn.scalar(waits) or 0
    if sending.is_off(conn):
        return found
    both = plays.join(actions, actions.c.play == plays.c.id)
    late = (actions.c.partition.in_(partitions), actions.c.approve_until <= now)
    given_up = select(func.count()).select_from(both).where(*late, *going(paused, ended=True))
    return found + (conn.scalar(given_up) or 0)


def _earliest(log: Log, places: Mapping[int, ActionsPartition]) -> int:
    """The clock of the partition that is furthest behind."""
    return min(row.clock for row in places.values()) if len(places) == log.partitions else 0


def behind(db: Database, log: Log, clock: Clock, *, log_clock: bool) -> Iterator[Attention]:
    """That the service is more than a minute behind; with the log clock, that it is behind at all."""
    with db.read() as conn:
        places = ownership.positions(conn)
        waiting = outbox.count(conn)
    lags = [_behind(log, topic, places) for topic in (EVENTS, TRIGGERS)]
    late = [places[p].clock if p in places else 0 for lag in lags for p, n in lag.items() if n]
    if late and (log_clock or min(late) < clock.now() - BEHIND_US):
        count = waiting + sum(sum(lag.values()) for lag in lags)
        since = min((one for one in late if one), default=None)
        yield Attention(AttentionKind.BEHIND, count, since, "/v1/status", "actions:read")


def _behind(log: Log, topic: str, places: Mapping[int, ActionsPartition]) -> dict[int, int]:
    """How many records of the topic are not yet applied, by partition."""
    ends = log.end_offsets(topic)
    starts = log.start_offsets(topic) if len(places) < len(ends) else {}
    lags = {}
    for partition, end in ends.items():
        row = places.get(partition)
        mine = starts.get(partition, 0)
        if row is not None:
            mine = row.next_event if topic == EVENTS else row.next_trigger
        lags[partition] = max(0, end - mine)
    return lags
