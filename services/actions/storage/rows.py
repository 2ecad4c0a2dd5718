"""Plays and actions as rows, and rows as plays."""

from typing import Any

import msgspec
from sqlalchemy import Row

from schemas.names import MAX_NAME, fitting
from schemas.play_reasons import ActionReason
from services.actions.plays.model import ActionDraft, Play, Wait
from services.actions.plays.outgoing import is_mail
from services.actions.storage import search_columns
from services.actions.tables import plays

_PLAIN = (
    "id", "partition", "playbook", "playbook_version", "rule", "trigger_id", "account", "contact", "key",
    "scope", "tier", "topic", "status", "reason", "step", "started_at", "ended_at", "trigger", "templates",
    "depth", "place", "held_at", "released", "counts", "began_at", "goal_until", "goal_reached_at", "waited",
)  # fmt: skip
PLAY_COLUMNS = [plays.c[name] for name in (*_PLAIN, "due_at", "until", "dated", "came", "watched")]


def play_row(play: Play) -> dict[str, Any]:
    """The columns of a play."""
    row = {name: getattr(play, name) for name in _PLAIN}
    wait = play.wait
    row["due_at"] = None if wait is None else wait.due
    row["until"] = wait is not None and wait.until
    row["dated"] = wait is not None and wait.dated
    row["came"] = wait is not None and wait.came
    row["watched"] = play.watched or None
    return row


def play_of(row: Row[Any]) -> Play:
    """The play in a row."""
    wait = None
    if row.due_at is not None:
        wait = Wait(due=row.due_at, until=row.until, dated=row.dated, came=row.came)
    return Play(**{name: getattr(row, name) for name in _PLAIN}, wait=wait, watched=row.watched or {})


def action_row(draft: ActionDraft, partition: int, now: int, *, governed: bool = False) -> dict[str, Any]:
    """The columns of a new action, before it is rendered and carried out. `governed`: there is a sending policy."""
    waits = is_mail(draft) and (governed or draft.late_at is not None)
    awaited = draft.approval if draft.status == "pending" else None
    return {
        "id": draft.id,
        "partition": partition,
        "play": draft.play,
        "playbook": draft.playbook,
        "account": draft.account,
        "contact": fitting(draft.contact, MAX_NAME),
        "channel": draft.channel,
        "step": draft.step,
        "recipient": fitting(draft.recipient),
        "topic": draft.topic,
        "status": draft.status,
        "reason": draft.reason if awaited is None else ActionReason.AWAITING_APPROVAL,
        "attempts": 0,
        "attempting": False,
        "created_at": now,
        "due_at": draft.due_at,
        "done_at": None if draft.status == "pending" else draft.due_at,
        "next_attempt_at": now if draft.status == "pending" and awaited is None else None,
        "approver": None if awaited is None else fitting(awaited.approver),
        "approve_until": None if awaited is None else awaited.until,
        "rendered": None,
        "rule": draft.rule,
        "tier": draft.tier,
        "addressee": search_columns.recipient(draft.recipient, draft.channel),
        "digest_key": draft.digest,
        "priority": draft.priority,
        "late_at": draft.late_at,
        "waited": draft.waited,
        "begun_at": None,
        "waits": waits or awaited is not None,
        "next_look_at": draft.due_at if waits and awaited is None else None,
    }


def same(one: Play, other: Play) -> bool:
    """Whether two plays make the same row."""
    return msgspec.structs.asdict(one) == msgspec.structs.asdict(other)
