"""Writes the ops that the step machine left: renders drafts, then stores actions, tasks and events in their order."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, insert

from schemas.play_reasons import ActionReason, TaskReason
from services.actions.plays.model import (
    ActionDraft,
    Cancel,
    CloseTasks,
    ControlRecord,
    DigestItem,
    DraftRendering,
    LeaveDigests,
    NotApproved,
    Op,
    OwnEvent,
    Rendered,
    RenderFailure,
    RenderJob,
    StepNote,
    TaskSpec,
)
from services.actions.plays.outgoing import is_mail
from services.actions.storage import approvals, digests, outbox, task_mails, task_rows
from services.actions.storage.partition_mails import PartitionMails
from services.actions.storage.rows import action_row
from services.actions.storage.sending_policy import is_in_force
from services.actions.storage.status import close_task, close_tasks, new_actions, skip_actions
from services.actions.storage.task_mails import Given
from services.actions.tables import attempts, history

MAX_DETAIL = 2_000
RENDERED_AT_ONCE = 256  # drafts; each may take half a second of processor time


class FlushResult(msgspec.Struct):
    """What a flush wrote: actions by (channel, status, reason), and how many the delivery loop may lease now."""

    actions: Counter[tuple[str, str, str]] = msgspec.field(default_factory=Counter)
    due: int = 0


Content = dict[str, Rendered | RenderFailure]  # by action


def render_ops(
    ops: Sequence[Op], renderer: DraftRendering, stay: Callable[[], None], known: Content | None = None
) -> Content:
    """Render the drafts among the ops that are not `known`. That takes time; no transaction should be open meanwhile.

    `stay` is called every now and then (see `Consumer.stay`).
    """
    _cancel_drafts(ops)
    content = dict(known or {})
    drafts = [op for op in ops if isinstance(op, ActionDraft) and op.id not in content]
    return content | _render(drafts, renderer, stay)


def write_ops(
    conn: Connection,
    ops: Sequence[Op],
    content: Content,
    *,
    partition: int,
    partitions: int,
    now: int,
    mails: PartitionMails,
) -> FlushResult:
    """Store the ops of a batch. `now`: the wall clock; the new actions may be sent from then on. `mails`: those that
    were looked at by the log clock."""
    rows: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    events: list[OwnEvent] = []
    given: list[Given] = []
    notes: list[dict[str, Any]] = []
    mailed = not mails.by_log and any(isinstance(op, ActionDraft) and is_mail(op) for op in ops)
    governed = mailed and is_in_force(conn)
    digests.put(conn, [op for op in ops if isinstance(op, DigestItem)], partitions)
    for op in ops:
        match op:
            case ActionDraft():
                row = action_row(op, partition, now, governed=governed)
                answer = content.get(op.id)
                if isinstance(answer, RenderFailure):
                    failures.append(_failure(op, row, answer, now))
                elif answer is not None:
                    events += _carry_out(conn, op, row, answer.content, given)
                    row |= {} if row["approve_until"] is not None else mails.columns(op, now)
                rows.append(row)
            case Cancel():
                skip_actions(conn, op)
                _skip_new(rows, op)
            case LeaveDigests():
                rows += [action_row(told, partition, now) for told in digests.leave(conn, op)]
            case NotApproved():
                _give_up(conn, rows, op)
            case CloseTasks():
                close_tasks(conn, op)
            case OwnEvent():
                events.append(op)
            case ControlRecord():
                outbox.tell(conn, partition, op)
            case StepNote():
                notes.append(msgspec.structs.asdict(op))
    if rows:
        new_actions(conn, rows)
    if failures:
        conn.execute(insert(attempts), failures)
    if notes:
        conn.execute(insert(history), notes)
    task_mails.note(conn, given)
    outbox.emit(conn, events, partitions)
    tally = Counter((row["channel"], row["status"], row["reason"] or "") for row in rows)
    return FlushResult(tally, sum(row["next_attempt_at"] is not None for row in rows))


def _give_up(conn: Connection, rows: Sequence[dict[str, Any]], op: NotApproved) -> None:
    """Skip an action that nobody approved in time, of this batch or an earlier one."""
    for row in rows:
        if row["id"] == op.action and row["approve_until"] == op.until:
            row |= _skipped(ActionReason.NOT_APPROVED, op.at)
            close_task(conn, op.action, TaskReason.NOT_APPROVED, op.at)
            return
    approvals.give_up(conn, op)


def _skipped(reason: str, at: int) -> dict[str, Any]:
    over = {"status": "skipped", "reason": reason, "done_at": at, "waits": False}
    return {**over, **dict.fromkeys(("next_attempt_at", "next_look_at", "approve_until"))}


def _skip_new(rows: Sequence[dict[str, Any]], op: Cancel) -> None:
    """Skip the play's new mails that wait. Who was asked to approve one has a task all the same, so that nothing
    depends on where a batch ends."""
    for row in rows:
        if row["play"] == op.play and row["waits"]:
            row |= _skipped(op.reason, op.at)


def _cancel_drafts(ops: Sequence[Op]) -> None:
    """Skip the drafts of a play that was exited in the same batch. Those that make a task are rendered all the same."""
    for place, op in enumerate(ops):
        if not isinstance(op, Cancel) or op.tried_only or op.waiting_only:
            continue
        for draft in ops[:place]:
            if not isinstance(draft, ActionDraft) or draft.play != op.play:
                continue
            if draft.status == "pending" and not draft.makes_task:
                draft.status, draft.reason = "skipped", op.reason


def _render(drafts: Sequence[ActionDraft], renderer: DraftRendering, stay: Callable[[], None]) -> Content:
    """The content of every draft that is to be carried out."""
    content: Content = {}
    wanted: list[ActionDraft] = []
    for draft in drafts:
        if draft.status != "pending":
            continue
        if draft.spec.ready is not None:
            content[draft.id] = Rendered(content=draft.spec.ready)
        else:
            wanted.append(draft)
    for start in range(0, len(wanted), RENDERED_AT_ONCE):
        stay()
        part = wanted[start : start + RENDERED_AT_ONCE]
        answers = renderer.render_many([RenderJob(draft=draft) for draft in part])
        content |= {draft.id: answer for draft, answer in zip(part, answers, strict=True)}
    return content


def _carry_out(
    conn: Connection, draft: ActionDraft, row: dict[str, Any], content: dict[str, Any], given: list[Given]
) -> list[OwnEvent]:
    """Put the content into the action's row. That is all a task's action needs to be done. Tasks go to `given`."""
    row["rendered"] = content
    if draft.approval is not None:
        key = task_rows.ask_approval(conn, draft, draft.approval, content, row["partition"])
        given.append(Given(draft.id, draft.approval.approver))
        return [task_rows.created_event(draft, key)]
    if not isinstance(draft.spec, TaskSpec):
        return []
    fields = task_rows.content_of(draft.spec, content)
    task, new, moved = task_rows.put_task(conn, draft, draft.spec, fields, row["partition"])
    if moved:
        given.append(Given(task, draft.spec.assignee, handed_over=not new))
    row |= {"status": "done", "done_at": draft.due_at, "next_attempt_at": None}
    row["reason"] = None if new else ActionReason.TASK_UPDATED
    row["rendered"] = {
        "title": fields.title,
        "body": fields.body,
        "key": fields.key,
        "task": task,
        "assignee": draft.spec.assignee,
        "priority": draft.spec.priority,
        "due_at": draft.spec.due_at,
    }
    return [task_rows.created_event(draft, fields.key)] if new else []


def _failure(draft: ActionDraft, row: dict[str, Any], answer: RenderFailure, now: int) -> dict[str, Any]:
    """Fail the action of a draft that could not be rendered; returns an attempt with the error as its detail."""
    row |= {
        "status": "failed",
        "reason": answer.reason,
        "attempts": 1,
        "done_at": draft.due_at,
        "next_attempt_at": None,
        "next_look_at": None,
        "approve_until": None,
        "waits": False,
    }
    return {
        "action": draft.id,
        "n": 1,
        "started_at": now,
        "ended_at": now,
        "outcome": "permanent",
        "reason": answer.reason,
        "detail": answer.detail[:MAX_DETAIL].replace("\0", ""),
    }
