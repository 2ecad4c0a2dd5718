"""The history of a play in order of time: held, begun, its steps, its actions and their results, its end."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select

from schemas.event import rfc3339
from schemas.play_reasons import ActionReason, HistoryReason, PlayReason, StepReason
from schemas.sentences.plays import PlayCase, said
from services.actions.api.views import case_of
from services.actions.plays.mail_reports import REASONS, ReportKind
from services.actions.storage import mail_reports
from services.actions.storage.library import PLAYBOOKS, readable
from services.actions.tables import history

MOST_NOTES = 1_000  # steps without an action that are shown at most


class _Entry(NamedTuple):
    at: int
    # at one moment: the beginning, the steps in order, the end; within a step, in order of recording
    order: tuple[int, int, int]
    step: str | None
    kind: type[StrEnum]
    reason: str
    case: PlayCase
    action: str | None = None


def history_of(conn: Connection, play: Row[Any], actions: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """The history of a play, with the given actions."""
    query = select(history).where(history.c.play == play.id).order_by(history.c.seq).limit(MOST_NOTES)
    places = _places(conn, play)
    notes = conn.execute(query).all()
    reports = mail_reports.of_actions(conn, [row.id for row in actions])
    entries = [
        *_play(play),
        *_notes(play, notes, places),
        *_actions(actions, places, {report.action for report in reports}),
        *_decided(notes, actions, places),
        *_reports(actions, reports, places),
    ]
    return [_shown(entry) for entry in sorted(entries, key=lambda entry: (entry.at, entry.order))]


def _play(play: Row[Any]) -> Iterator[_Entry]:
    case = PlayCase(playbook=play.playbook, tier=play.tier)
    if play.held_at is not None:
        yield _Entry(play.held_at, (0, 0, 0), None, HistoryReason, HistoryReason.HELD, case)
    if play.began_at is not None and play.status != "held_out":
        yield _Entry(play.started_at, (0, 0, 1), None, HistoryReason, HistoryReason.STARTED, case)
    if play.ended_at is not None and play.reason is not None:
        yield _Entry(play.ended_at, (2, 0, 0), play.step, PlayReason, play.reason, case)
    if play.goal_reached_at is not None:
        yield _Entry(play.goal_reached_at, (3, 0, 0), None, HistoryReason, HistoryReason.GOAL_REACHED, case)


def _notes(play: Row[Any], notes: Iterable[Row[Any]], places: Mapping[str, int]) -> Iterator[_Entry]:
    case = PlayCase(playbook=play.playbook, tier=play.tier)
    for note in notes:
        order = (1, places.get(note.step, len(places)), note.seq)
        if note.action is None:
            yield _Entry(note.at, order, note.step, StepReason, note.reason, case)


def _decided(
    notes: Iterable[Row[Any]], actions: Iterable[Row[Any]], places: Mapping[str, int]
) -> Iterator[_Entry]:
    """What people decided about the actions, in the order of recording, behind what the step made."""
    known = {row.id: row for row in actions}
    for note in notes:
        if (row := known.get(note.action)) is not None:
            order = (1, places.get(note.step, len(places)), 2 * row.seq)
            yield _Entry(note.at, order, note.step, HistoryReason, note.reason, case_of(row), row.id)


def _actions(
    actions: Iterable[Row[Any]], places: Mapping[str, int], reported: Collection[str]
) -> Iterator[_Entry]:
    """When actions were made, and when they ended. Of one that went out, what came back has an entry of its own."""
    for row in actions:
        case, place = case_of(row), places.get(row.step, len(places))
        made = HistoryReason.ACTION_MADE
        yield _Entry(row.due_at, (1, place, 2 * row.seq), row.step, HistoryReason, made, case, row.id)
        if row.done_at is not None:
            plain = row.reason is None or (row.status == "done" and row.id in reported)
            done = HistoryReason.ACTION_DONE if plain else row.reason
            kind = HistoryReason if plain else ActionReason
            yield _Entry(row.done_at, (1, place, 2 * row.seq + 1), row.step, kind, done, case, row.id)


def _reports(
    actions: Sequence[Row[Any]], reports: Iterable[Row[Any]], places: Mapping[str, int]
) -> Iterator[_Entry]:
    """What came back of the mails."""
    by_id = {row.id: row for row in actions}
    for report in reports:
        row = by_id[report.action]
        order = (1, places.get(row.step, len(places)), 2 * row.seq + 1)
        reason = REASONS[ReportKind(report.kind)]
        yield _Entry(report.at, order, row.step, ActionReason, reason, case_of(row), row.id)


def _places(conn: Connection, play: Row[Any]) -> dict[str, int]:
    """The places of the play's steps in the order in which they run, as far as its playbook can be read."""
    if play.playbook_version is None:
        return {}
    stored = PLAYBOOKS.version(conn, play.playbook, play.playbook_version)
    program = readable(stored.name, stored.version, stored.doc).programs.get(play.tier)
    if program is None:
        return {}
    last = len(program.instructions)  # instructions are stored from the last to the first
    return {name: last - place for name, place in program.places.items()}


def _shown(entry: _Entry) -> dict[str, Any]:
    return {
        "at": rfc3339(entry.at),
        "step": entry.step,
        "reason": entry.reason,
        "sentence": said(entry.kind, entry.reason, entry.case),
        "action": entry.action,
    }
