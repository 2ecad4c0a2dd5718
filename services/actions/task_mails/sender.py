"""Plans and sends the mails about tasks, in a thread and with connections of its own, so that nothing waits for it.

Like notices they use the channels' code and nothing else of delivery. Unlike notices they obey the sending switch, and
are never sent twice: where a process was killed between the beginning of an attempt and its end, nobody knows whether
the mail went out, and it ends as `uncertain`.
"""

import asyncio
import secrets
import threading
from collections.abc import Callable, Sequence
from email.utils import parseaddr
from typing import Any, NamedTuple

from sqlalchemy import Connection

from backbone.clock import Clock
from backbone.database import Database
from backbone.errors import TouchlineError
from backbone.failpoint import hit
from backbone.settings import Settings
from backbone.telemetry import get_logger
from schemas.play_reasons import ActionReason
from schemas.task_mails import NOTHING_LEFT
from services.actions.channels.base import Channel, ChannelContext, Prepared
from services.actions.channels.email.channel import email_channel
from services.actions.channels.senders import Sender
from services.actions.metrics import TASK_MAILS
from services.actions.plays.model import Leased
from services.actions.plays.retry_policy import HOUR, MINUTE, SECOND, Outcome, decide
from services.actions.storage import sending
from services.actions.storage import task_mail_attempts as attempts
from services.actions.storage import task_mail_contents as contents
from services.actions.storage import task_mails as rows
from services.actions.storage.library import brand_now
from services.actions.storage.sql import Unreadable
from services.actions.storage.task_mail_attempts import TaskMail
from services.actions.task_mails import wording
from services.actions.task_mails.letter import Letter, Link, rendered
from services.actions.task_mails.schedule import LATE_US, Day

SCHEDULE = (30 * SECOND, 2 * MINUTE, 10 * MINUTE, HOUR, 4 * HOUR)
LOOK_S = 1.0
TRY_S = 90.0  # the longest attempt
EXTEND_S = attempts.LEASE_US / 4_000_000
STOP_S = 5.0
TIDY_S = 3_600.0
HELD_US = 5 * SECOND  # until a mail is looked at again that sending off holds back

log = get_logger("touchline.task_mails")


class Ready(NamedTuple):
    """What a mail says, and the tasks that it lists."""

    content: dict[str, Any]
    listed: Sequence[str]


class TaskMailSender:
    """Plans and sends the mails about tasks, each by one process.

    `upto` gives the moment whose mornings have come: the time, or with the log clock that of the partition furthest
    behind.
    """

    def __init__(
        self,
        settings: Settings,
        db: Database,
        clock: Clock,
        upto: Callable[[Connection], int],
        channel: Sender = email_channel,
    ) -> None:
        self._settings, self._db, self._clock, self._upto, self._make = settings, db, clock, upto, channel
        name, address = parseaddr(settings.sender)
        self._from = {"name": name or None, "email": address}
        self._late = None if settings.clock == "log" else LATE_US
        self._owner = f"task-mails-{secrets.token_hex(8)}"
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="actions-task-mails", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; an attempt under way is left to its end for a moment."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        context = ChannelContext(self._settings, lambda _: None, now=self._clock.now)
        loop, channel = asyncio.get_running_loop(), self._make(context)
        tidy_at, extend_at, begun = loop.time(), loop.time(), False
        while not self._stopping.is_set():
            try:
                if not begun:
                    await asyncio.to_thread(self._begin)
                    begun = True
                if self._under_way and loop.time() >= extend_at:
                    await asyncio.to_thread(self._extend, list(self._under_way))
                    extend_at = loop.time() + EXTEND_S
                for mail in await asyncio.to_thread(self._due):
                    self._start(mail, channel)
                if loop.time() >= tidy_at:
                    await asyncio.to_thread(self._tidy)
                    tidy_at = loop.time() + TIDY_S
            except TouchlineError:
                pass  # the database is away: others say so
            except Exception:
                log.exception("mails about tasks cannot be looked at")
            await asyncio.to_thread(self._stopping.wait, LOOK_S)
        if self._under_way:
            await asyncio.wait(self._under_way.values(), timeout=STOP_S / 2)
        await channel.close()

    # -- one mail

    def _start(self, mail: TaskMail, channel: Channel) -> None:
        if mail.id not in self._under_way:
            task = asyncio.create_task(self._send(mail, channel))
            self._under_way[mail.id] = task
            task.add_done_callback(lambda _: self._under_way.pop(mail.id, None))

    async def _send(self, mail: TaskMail, channel: Channel) -> None:
        try:
            if await asyncio.to_thread(self._claimed, mail):
                outcome = await self._tried(mail, channel)
                await asyncio.to_thread(self._note, mail, outcome)
        except TouchlineError:
            pass  # the database went away: the claim runs out
        except Exception:
            log.exception("what became of a mail about tasks cannot be written", mail=mail.id)

    async def _tried(self, mail: TaskMail, channel: Channel) -> Outcome:
        """Make an attempt. Up to its beginning it can be made again; from then on, its end may not be known."""
        if mail.interrupted and not channel.idempotent:
            return Outcome(kind="uncertain", reason=ActionReason.MAYBE_DELIVERED)
        ready = await asyncio.to_thread(self._ready, mail)
        if isinstance(ready, Outcome):
            return ready
        try:
            async with asyncio.timeout(TRY_S / 2):
                prepared = await channel.prepare(self._action(mail, ready))
        except TimeoutError:
            return Outcome(kind="temporary", reason=ActionReason.TIMEOUT, detail="no connection in time")
        if isinstance(prepared, Outcome):
            return prepared
        return await self._sent(mail, ready, prepared, channel)

    async def _sent(self, mail: TaskMail, ready: Ready, prepared: Prepared, channel: Channel) -> Outcome:
        begun = await asyncio.to_thread(self._begun, mail, ready)
        if begun is None:
            await prepared.drop()
            return Outcome(kind="temporary", reason=ActionReason.SENDING_OFF)
        hit("task_mails.after_begin_before_wire")
        try:
            async with asyncio.timeout(TRY_S / 2):
                outcome = await prepared.send(begun)
        except Exception as error:
            log.exception("a mail about tasks cannot be sent", mail=mail.id)
            outcome = _lost(error, channel)
        hit("task_mails.after_wire_before_note")
        return outcome

    def _action(self, mail: TaskMail, ready: Ready) -> Leased:
        return Leased(
            id=mail.id, play="", playbook="", account="", contact=None, channel="email", step="",
            recipient=mail.address, topic="", attempts=mail.attempts, due_at=mail.due_at, rendered=ready.content,
            interrupted=bool(mail.interrupted),
        )  # fmt: skip

    # -- the database, in threads of their own

    def _begin(self) -> None:
        if self._db.dialect == "sqlite":  # no other process works on it
            with self._db.write() as conn:
                attempts.let_go(conn)

    def _due(self) -> list[TaskMail]:
        now = self._clock.now()
        with self._db.read() as conn:
            upto = self._upto(conn)
            planned = rows.is_due(conn, upto, late=self._late)
        if planned:
            with self._db.write() as conn:
                rows.plan(conn, now, upto, late=self._late)
        try:
            with self._db.read() as conn:
                return [] if sending.is_off(conn) else attempts.due(conn, now)
        except Unreadable as found:
            log.error("mails about tasks cannot be read", mails=sorted(map(str, found.columns)))
            with self._db.write() as conn:
                attempts.end_unreadable(conn, found, now)
        return []

    def _extend(self, mails: Sequence[str]) -> None:
        with self._db.write() as conn:
            attempts.extend(conn, mails, self._owner, self._clock.now())

    def _claimed(self, mail: TaskMail) -> bool:
        with self._db.write() as conn:
            return attempts.claim(conn, mail.id, self._owner, self._clock.now())

    def _ready(self, mail: TaskMail) -> Ready | Outcome:
        """What the mail says now, or why there is none any more."""
        now = self._clock.now()
        if mail.moment is not None and self._late is not None and now - mail.moment > self._late:
            return Outcome(kind="skipped", reason=ActionReason.TOO_LATE)
        with self._db.read(steady=True) as conn:
            found = rows.wishes(conn)
            if found is None or not found.wants(mail.kind, mail.assigned):
                return Outcome(kind="skipped", reason=NOTHING_LEFT, detail="such mails were turned off")
            reader = wording.Reader(mail.address, found.zone_of(mail.assigned), self._settings.base_url)
            brand = brand_now(conn)
            of = self._new if mail.moment is None else self._morning
            letter, listed = of(conn, mail, reader)
        if letter is None:
            return Outcome(kind="skipped", reason=NOTHING_LEFT)
        off = Link("Settings", f"{self._settings.base_url}/settings")
        made = rendered(letter, brand, off)
        return Ready(
            {
                "subject": made.subject, "html": made.html, "text": made.text, "from": self._from, "reply_to": None,
                "to": {"name": None, "email": mail.address}, "unsubscribe_url": None,
            },
            listed,
        )  # fmt: skip

    def _new(
        self, conn: Connection, mail: TaskMail, reader: wording.Reader
    ) -> tuple[Letter | None, list[str]]:
        tasks = contents.of_made(conn, mail)
        now = self._clock.now() if self._late is not None else self._upto(conn)
        return (wording.made(tasks, reader, now) if tasks else None), []

    def _morning(
        self, conn: Connection, mail: TaskMail, reader: wording.Reader
    ) -> tuple[Letter | None, list[str]]:
        moment = mail.moment or 0
        day = Day.at(moment, reader.zone)
        found = contents.of_morning(conn, mail, day, is_wall=self._late is not None)
        if not any(found.counts):
            return None, []
        listed = [task.id for part in (found.overdue, found.today, found.week) for task in part]
        return wording.morning(found, day, reader, moment), listed

    def _begun(self, mail: TaskMail, ready: Ready) -> int | None:
        with self._db.write() as conn:
            return attempts.begin(conn, mail.id, self._owner, self._clock.now(), ready.listed)

    def _note(self, mail: TaskMail, outcome: Outcome) -> None:
        now = self._clock.now()
        about = {"mail": mail.id, "kind": mail.kind, "outcome": outcome.kind, "reason": outcome.reason}
        decided = decide(outcome, mail.attempts + 1, now, SCHEDULE)
        status, again = str(decided.status), decided.next_attempt_at
        if outcome.reason == ActionReason.SENDING_OFF:
            status, again = "pending", now + HELD_US
        with self._db.write() as conn:
            attempts.end(conn, mail.id, self._owner, status, decided.reason, outcome.detail, now, again)
        if again is None:
            TASK_MAILS.labels(mail.kind, status).inc()
        if status in {"failed", "uncertain"}:
            log.error("a mail about tasks did not go out, or may not have", **about)
        elif again is None:
            log.info("a mail about tasks is done with", **about)
        elif mail.attempts == 0:
            log.warning("a mail about tasks could not be sent, and is tried again", **about)

    def _tidy(self) -> None:
        with self._db.write() as conn:
            rows.prune(conn, self._clock.now())


def _lost(error: Exception, channel: Channel) -> Outcome:
    """How an attempt ended that raised: nobody knows what happened, unless the channel can do it again."""
    detail = type(error).__name__
    if channel.idempotent:
        return Outcome(kind="temporary", reason=ActionReason.INTERRUPTED, detail=detail)
    return Outcome(kind="uncertain", reason=ActionReason.MAYBE_DELIVERED, detail=detail)
