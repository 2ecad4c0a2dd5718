"""Plays, actions, attempts and tasks as the API shows them."""

from typing import Any

from msgspec.structs import replace
from sqlalchemy import Row

from schemas.event import rfc3339
from schemas.play_reasons import ActionReason, PlayReason, TaskReason
from schemas.sentences.plays import PlayCase, said
from services.actions.plays.mail_reports import REASONS, ReportKind
from services.actions.policy.queue import STANDS


def moment(us: int | None) -> str | None:
    """A time (microseconds) as RFC 3339."""
    return None if us is None else rfc3339(us)


def play_view(row: Row[Any]) -> dict[str, Any]:
    """A play as the API shows it."""
    return {
        "id": row.id,
        "playbook": row.playbook,
        "playbook_version": row.playbook_version,
        "rule": row.rule,
        "trigger": row.trigger_id,
        "account": row.account,
        "contact": row.contact,
        "key": row.key,
        "tier": row.tier,
        "status": row.status,
        "reason": row.reason,
        "sentence": said(PlayReason, row.reason, _play_case(row)),
        "step": row.step,
        "started_at": moment(row.started_at),
        "held_at": moment(row.held_at),
        "ended_at": moment(row.ended_at),
        "waits_until": None if row.status == "held" and row.released is not None else moment(row.due_at),
        "goal_until": moment(row.goal_until),
        "goal_reached_at": moment(row.goal_reached_at),
    }


def _play_case(row: Row[Any]) -> PlayCase:
    """The facts that a sentence about a play may mention."""
    return PlayCase(playbook=row.playbook, tier=row.tier, since=row.held_at, until=row.ended_at)


def action_view(row: Row[Any]) -> dict[str, Any]:
    """An action as lists show it."""
    return {
        "id": row.id,
        "play": row.play,
        "playbook": row.playbook,
        "rule": row.rule,
        "tier": row.tier,
        "account": row.account,
        "contact": row.contact,
        "channel": row.channel,
        "step": row.step,
        "recipient": row.recipient,
        "topic": row.topic,
        "digest": row.digest_key,
        "status": row.status,
        "reason": row.reason,
        "sentence": said(ActionReason, row.reason, case_of(row)),
        "attempts": row.attempts,
        "due_at": moment(row.due_at),
        "begun_at": moment(row.begun_at),
        "next_look_at": _next_look(row),
        "done_at": moment(row.done_at),
        "next_attempt_at": moment(row.next_attempt_at) if row.status == "retrying" else None,
        "approver": row.approver,
        "approve_until": moment(row.approve_until),
    }


def _next_look(row: Row[Any]) -> str | None:
    """When a mail that waits is looked at next: null where something else has to happen first."""
    return moment(_looked_at(row))


def _looked_at(row: Row[Any]) -> int | None:
    known = row.waits and row.next_look_at is not None and row.next_look_at < STANDS
    return row.next_look_at if known else None


def case_of(row: Row[Any]) -> PlayCase:
    """The facts that a sentence about an action may mention."""
    return PlayCase(
        playbook=row.playbook,
        contact=row.contact,
        tier=row.tier,
        step=row.step,
        channel=row.channel,
        recipient=row.recipient,
        topic=row.topic,
        attempts=row.attempts,
        until=row.late_at if row.approve_until is None else row.approve_until,
        looked_at=_looked_at(row),
        again_at=row.next_attempt_at if row.status == "retrying" else None,
    )


def attempt_view(row: Row[Any], case: PlayCase) -> dict[str, Any]:
    """An attempt as the API shows it. `case`: of its action."""
    return {
        "n": row.n,
        "started_at": moment(row.started_at),
        "ended_at": moment(row.ended_at),
        "outcome": row.outcome,
        "reason": row.reason,
        "sentence": said(ActionReason, row.reason, replace(case, again_at=None)),
        "detail": row.detail,
    }


def report_view(row: Row[Any], attempts: int, case: PlayCase) -> dict[str, Any]:
    """What was reported about a mail, among its attempts: it is about the last one."""
    words = f"{row.kind} reported by {row.provider}"
    return {
        "n": attempts,
        "started_at": moment(row.happened_at),
        "ended_at": moment(row.at),
        "outcome": "reported",
        "reason": REASONS[ReportKind(row.kind)].value,
        "sentence": said(ActionReason, REASONS[ReportKind(row.kind)].value, case),
        "detail": f"{words}: {row.detail}" if row.detail else words,
    }


def task_view(row: Row[Any], now: int) -> dict[str, Any]:
    """A task as the API shows it. A snoozed task whose time has come is open again."""
    snoozed = row.status == "snoozed" and (row.snoozed_until or 0) > now
    case = PlayCase(playbook=row.playbook, tier=row.tier)
    return {
        "id": row.id,
        "play": row.play or None,
        "playbook": row.playbook or None,
        "step": row.step or None,
        "rule": row.rule,
        "tier": row.tier,
        "account": row.account or None,
        "contact": row.contact,
        "title": row.title,
        "body": row.body,
        "assignee": row.assignee,
        "priority": row.priority,
        "key": row.key,
        "status": "open" if row.status == "snoozed" and not snoozed else row.status,
        "reason": row.reason,
        "sentence": said(TaskReason, row.reason, case) or said(PlayReason, row.reason, case),
        "approves": row.id if row.approves else None,
        "due_at": moment(row.due_at),
        "snoozed_until": moment(row.snoozed_until) if snoozed else None,
        "created_at": moment(row.created_at),
        "completed_at": moment(row.completed_at),
        "completed_by": row.completed_by,
        "note": row.note,
        "outcome": row.outcome,
    }
