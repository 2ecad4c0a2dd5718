"""Writes what follows from reports about our mails: the reason, the history, the event, the suppression. SQL only.

Each (action, kind) counts once, however often and by whatever way it is reported. A report is written in one
transaction with all that follows from it, in the order of locks that sends and unsubscribing have: the address, then
the action.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from backbone.clock import Clock
from backbone.database import Database, insert_new
from backbone.errors import Unavailable
from schemas.addresses import normal
from schemas.play_reasons import ActionReason
from services.actions.channels import NEED_CONSENT
from services.actions.feedback.report import MailReport
from services.actions.feedback.signatures import FRESH_US, SignedToken
from services.actions.plays.lifecycle_events import about
from services.actions.plays.mail_reports import EVENTS, FINAL, REASONS, WITHIN_US, ReportKind, too_often
from services.actions.plays.model import OwnEvent
from services.actions.storage import outbox, suppressions
from services.actions.storage.status import report_action
from services.actions.storage.suppressions import ALL_TOPICS, Hasher, Origin
from services.actions.tables import actions, mail_reports, mail_tokens, plays

WENT_OUT = ("done", "uncertain")
_AT_ONCE = 500


class StillSending(Unavailable):
    """The mail is under way here, so nothing can be said about it yet."""

    code = "still_sending"
    title = "The mail is still being sent"
    retry_after = 30


@dataclass(frozen=True, slots=True)
class ReportBook:
    """Writes reports to the database. `partitions`: of the log. `now_in`: the time of a partition, in microseconds."""

    db: Database
    clock: Clock
    now_in: Callable[[Connection, int], int]
    hasher: Hasher
    partitions: int

    def mails(self, ids: Sequence[str]) -> dict[str, tuple[str, frozenset[str]]]:
        """Those of these actions that are mails which were tried: the recipient, and the kinds reported so far."""
        found: dict[str, tuple[str, frozenset[str]]] = {}
        unique = sorted(set(ids))
        for start in range(0, len(unique), _AT_ONCE):
            part = unique[start : start + _AT_ONCE]
            mine = actions.c.id.in_(part) & actions.c.channel.in_(NEED_CONSENT) & (actions.c.attempts > 0)
            known = select(mail_reports.c.action, mail_reports.c.kind).where(mail_reports.c.action.in_(part))
            with self.db.read() as conn:
                rows = conn.execute(select(actions.c.id, actions.c.recipient).where(mine)).all()
                kinds = conn.execute(known).all()
            for row in rows:
                said = frozenset(kind for action, kind in kinds if action == row.id)
                found[row.id] = (row.recipient or "", said)
        return found

    def write(self, report: MailReport, recipient: str, provider: str) -> bool | None:
        """Write a report and what follows; returns whether it is new, and None if its action is gone. Blocks for sends
        to the address.

        Raises `StillSending` if that very mail is under way for longer than one waits for.
        """
        digest = self.hasher.digest(recipient)

        def act(conn: Connection) -> bool | None:
            row = conn.execute(
                select(actions).where(actions.c.id == report.action).with_for_update()
            ).one_or_none()
            if row is None:
                return None
            if row.attempting and (row.lease_until or 0) >= self.clock.now():
                raise StillSending
            return self._write(conn, row, report, digest, provider)

        return suppressions.once_quiet(self.db, self.hasher, digest, self.clock, act)

    def _write(self, conn: Connection, row: Row[Any], report: MailReport, digest: str, provider: str) -> bool:
        now = self.now_in(conn, row.partition)
        happened = now if report.at is None else min(report.at, now)
        reason = REASONS[report.kind]
        said = _said(conn, row)
        new = {
            "action": row.id, "kind": report.kind.value, "address": digest, "at": now, "happened_at": happened,
            "provider": provider, "detail": report.detail,
        }  # fmt: skip
        if not insert_new(conn, mail_reports, [new], ["action", "kind"]):
            return False  # another worker was faster
        if row.status in WENT_OUT and row.reason != ActionReason.COMPLAINED:
            report_action(conn, row.id, reason)
        if reason not in said:
            outbox.emit(conn, [_event(conn, row, report.kind, reason, now)], self.partitions)
        if self._suppresses(conn, report.kind, digest, now):
            shown = normal(row.recipient or "")
            origin = Origin.COMPLAINT if report.kind == ReportKind.COMPLAINT else Origin.BOUNCE
            suppressions.add(conn, digest, ALL_TOPICS, shown, reason.value, self.clock.now(), origin)
        return True

    def _suppresses(self, conn: Connection, kind: ReportKind, digest: str, now: int) -> bool:
        """Whether the address gets no more mail from now on.

        Soft bounces count if they are within the time both as they happened and as they came: neither a batch that
        was held up nor a provider's wrong clock makes them more than they are.
        """
        if kind in FINAL:
            return True
        if kind != ReportKind.SOFT_BOUNCE:
            return False
        table = mail_reports.c
        mine = (table.address == digest) & (table.kind == kind.value) & (table.at > now - WITHIN_US)
        return too_often(conn.scalars(select(table.happened_at).where(mine)))

    def accept_token(self, token: SignedToken, body: bytes) -> bool:
        """Remember a token with its body; returns False if it came with another body before."""
        row = {
            "token": hashlib.sha256(token.token.encode("utf-8", "replace")).digest(),
            "body": hashlib.sha256(body).digest(),
            "at": self.clock.now(),
        }
        with self.db.write() as conn:
            insert_new(conn, mail_tokens, [row], ["token"])
            known = conn.scalar(select(mail_tokens.c.body).where(mail_tokens.c.token == row["token"]))
        return known == row["body"]

    def forget_tokens(self) -> None:
        """Delete the tokens that are too old to be taken again."""
        old = mail_tokens.c.at < self.clock.now() - 4 * FRESH_US
        with self.db.read() as conn:
            found = conn.scalar(select(mail_tokens.c.at).where(old).limit(1))
        if found is not None:
            with self.db.write() as conn:
                conn.execute(delete(mail_tokens).where(old))


def of_actions(conn: Connection, ids: Sequence[str]) -> list[Row[Any]]:
    """The reports about these actions, in order."""
    query = select(mail_reports).where(mail_reports.c.action.in_(ids)).order_by(mail_reports.c.seq)
    return list(conn.execute(query)) if ids else []


def _said(conn: Connection, row: Row[Any]) -> set[ActionReason]:
    """The reasons of which an event has told already."""
    said = {REASONS[ReportKind(one.kind)] for one in of_actions(conn, [row.id])}
    refused = row.status == "failed" and row.reason == ActionReason.BOUNCED  # told when the server refused it
    return said | ({ActionReason.BOUNCED} if refused else set())


def _event(conn: Connection, row: Row[Any], kind: ReportKind, reason: ActionReason, now: int) -> OwnEvent:
    place = conn.scalar(select(plays.c.place).where(plays.c.id == row.play))
    return about(
        EVENTS[reason],
        row,
        time=now,
        depth=None,
        place=place,
        more={"reason": reason.value, "kind": kind.value},
    )
