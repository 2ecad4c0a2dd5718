"""Wires the actions service: its API, the worker that runs plays, the dispatcher that delivers, its status."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from email.utils import parseaddr
from functools import partial
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Connection

from backbone import telemetry
from backbone.clock import Clock
from backbone.data_folder import secret_key
from backbone.database import Database
from backbone.exports.erased import forget
from backbone.housekeeping import HousekeepingJob
from backbone.jobs.queue import JobQueue
from backbone.jobs.runner import JobRunner
from backbone.log import EVENTS, TRIGGERS, Log, partition_for
from backbone.settings import Settings
from backbone.stats.fold import fold
from backbone.status_metrics import Sample
from backbone.web.account_record import Parts
from backbone.web.attention import Attention
from backbone.web.stats import stats_router
from schemas.event import rfc3339
from services.actions import published_outlines
from services.actions.account_record import record
from services.actions.api import (
    approval,
    brand,
    documents,
    exports,
    holding,
    impact,
    mail_feedback,
    plays,
    policy,
    preview,
    rehearsals,
    retry,
    send_test,
    sending,
    standing,
    suppressions,
    task_mails,
    tasks,
    unsubscribe,
)
from services.actions.api.details import Details
from services.actions.api.plays import Times
from services.actions.api.unsubscribe import UnsubscribeLinks
from services.actions.attention import attention
from services.actions.channels.email.channel import StagingRecipients
from services.actions.channels.email.eml_files import OUTBOX
from services.actions.channels.email.erased_files import ErasedMailFiles
from services.actions.delivery import Dispatcher
from services.actions.delivery.disabled_endpoints import DisabledEndpoints
from services.actions.feedback.sns import https_get
from services.actions.notices.mail_server import MailServerWatch
from services.actions.notices.notifier import Notifier
from services.actions.rendering.draft_renderer import DraftRenderer
from services.actions.rendering.process_pool import RendererUnavailable
from services.actions.rendering.renderer import RenderPool
from services.actions.stats_tables import COUNTED, STATS
from services.actions.status import MOST_SHOWN, behind, measure, status
from services.actions.storage import beginnings, ownership
from services.actions.storage import sending as sending_switch
from services.actions.storage.mail_reports import ReportBook
from services.actions.storage.rehearsals import KIND
from services.actions.storage.sending_policy import PolicyReader
from services.actions.storage.suppressions import Hasher
from services.actions.storage.task_rows import wake
from services.actions.tables import export_erased
from services.actions.task_mails.sender import TaskMailSender
from services.actions.unsubscribe_token import Tokens
from services.actions.worker import ActionsWorker

SILENT = "no answer for 5 seconds or longer; it gets one webhook at a time until it answers"


class ActionsService:
    """The actions service: playbooks, plays, actions and tasks over HTTP, the worker, and delivery."""

    name = "actions"

    def __init__(self, settings: Settings, db: Database, log: Log, clock: Clock) -> None:
        self._db, self._log, self._clock = db, log, clock
        self._log_clock, self._kept = settings.clock == "log", settings.log_retention
        key = secret_key(settings)
        hasher, tokens = Hasher(key), Tokens(key)
        # One for plays, one for requests, so that plays do not wait for requests.
        self._pools = RenderPool(), RenderPool(niceness=10)
        self._hasher = hasher
        name, address = parseaddr(settings.sender)
        links = UnsubscribeLinks(settings.base_url, hasher, tokens)
        sender = {"name": name or None, "email": address}
        self.renderer = DraftRenderer(self._pools[0], sender, links.of)
        asked = DraftRenderer(self._pools[1], sender, links.of)
        self.worker = ActionsWorker(
            db,
            log,
            clock,
            self.renderer,
            mode=settings.clock,
            on_due=self._due,
            keep=settings.history_retention,
            hasher=hasher,
        )
        alone = db.dialect == "sqlite"
        mail_server = MailServerWatch(db, clock.now)
        self.delivery = Dispatcher(
            settings,
            db,
            clock,
            hasher,
            log.partitions,
            self.worker.wake,
            alone=alone,
            on_health=mail_server.note,
        )
        self._notices = Notifier(settings, db, clock, key, alone=alone)
        self._task_mails = TaskMailSender(settings, db, clock, self._passed)
        files = ErasedMailFiles(settings.data_dir / OUTBOX, db, clock)
        self._times = times = Times(db, clock, log_clock=self._log_clock)
        book = ReportBook(db, clock, times.now, hasher, log.partitions)
        rehearsed = JobQueue(db, clock, KIND)
        self.rehearsals = JobRunner(rehearsed, settings, "services.actions.rehearsal_process")
        self.chores = [
            *self._sweeps(times),
            HousekeepingJob("mails of the erased", 5.0, files.sweep),
            HousekeepingJob("the mail server", 1.0, mail_server.write),
            HousekeepingJob("old rehearsals", 600.0, rehearsed.prune),
            HousekeepingJob("old tokens of mail providers", 600.0, book.forget_tokens),
        ]
        previews = preview.Previews(db, times, self._pools[1], links, sender, log.partitions)
        changed = self.worker.wake
        self.routers: Sequence[APIRouter] = [
            *documents.routers(db, clock, asked, self.worker.playbook_saved, self._due),
            policy.router(db, clock, times.oldest, hasher),
            brand.router(db, clock),
            *task_mails.routers(db, clock, lambda conn: times.now(conn, None)),
            impact.router(db, clock, log_clock=self._log_clock),
            *self._of_plays(settings, times),
            holding.router(db, clock, times, log.partitions, documents.playbook_view(db), self._goes_on),
            tasks.router(db, times, log.partitions, changed),
            preview.router(previews),
            send_test.router(previews, settings, db, clock, hasher, links.preview),
            rehearsals.router(
                rehearsed, asked, partial(partition_for, partitions=log.partitions), self.rehearsals.wake
            ),
            suppressions.router(db, clock, hasher),
            sending.router(db, clock, self._due, log_clock=self._log_clock),
            mail_feedback.router(book, settings, changed, https_get),
            unsubscribe.router(db, clock, times, hasher, tokens, log.partitions, changed),
        ]

    def _sweeps(self, times: Times) -> list[HousekeepingJob]:
        """What is looked after in the tables alone."""
        db, clock = self._db, self._clock
        return [
            HousekeepingJob("disabled endpoints", 5.0, DisabledEndpoints(db, clock, self._due).sweep),
            HousekeepingJob("snoozed tasks", 2.0, lambda: wake(db, lambda conn: times.now(conn, None))),
            HousekeepingJob("rows erased before the log begins", 600.0, self._forget_erased),
            HousekeepingJob("old beginnings", 600.0, self._forget_beginnings),
            HousekeepingJob("counts", 2.0, partial(fold, db, STATS)),
        ]

    def _of_plays(self, settings: Settings, times: Times) -> list[APIRouter]:
        """The routes of plays and actions, and of what is exported and counted of them."""
        db, clock, partitions = self._db, self._clock, self._log.partitions
        details = Details(StagingRecipients.of(settings))
        return [
            standing.router(db),
            plays.router(db, clock, times, partitions, self.worker.wake, details),
            approval.router(db, clock, times, partitions, self._pools[1], details, self._goes_on),
            retry.router(db, clock, times, partitions, details, self._goes_on),
            exports.router(db, times),
            stats_router(db, STATS, COUNTED, "actions:read"),
        ]

    def _passed(self, conn: Connection) -> int:
        """The time; with the log clock, that which every partition has passed."""
        if not self._log_clock:
            return self._clock.now()
        clocks = [row.clock for row in ownership.positions(conn).values()]
        return min(clocks) if len(clocks) == self._log.partitions else 0

    def start(self) -> None:
        """Start the first render process, then the threads. If it does not start, the worker tries again."""
        published_outlines.refresh(self._db)
        try:
            self._pools[0].warm_up()
        except RendererUnavailable as error:
            telemetry.get_logger("touchline.actions").error(
                "templates cannot be rendered", error=error.message
            )
        self.worker.start()
        self.delivery.start()
        self._notices.start()
        self._task_mails.start()
        self.rehearsals.start()

    def stop(self) -> None:
        """Finish the work in hand; returns when the threads have ended."""
        self.rehearsals.stop()
        self.delivery.stop()
        self.worker.stop()
        self._notices.stop()
        self._task_mails.stop()
        for pool in self._pools:
            pool.close()

    def _goes_on(self) -> None:
        """Plays or actions may go on, or must stand still: look at once."""
        self.worker.holds_changed()
        self.delivery.wake()

    def _forget_beginnings(self) -> None:
        """Forget when mails began that no cap counts any more."""
        with self._db.write() as conn:
            sending_switch.lock_shared(conn)
            beginnings.prune(conn, PolicyReader().current(conn), self._times.oldest(conn))

    def _forget_erased(self) -> None:
        """Keep no id of an erased row for longer than the log has its events."""
        forget(self._db, export_erased, self._clock.now(), self._kept)

    def _due(self) -> None:
        self.delivery.wake()

    def attention(self) -> Iterator[Attention]:
        """What the tables tell, and that the worker is behind."""
        with self._db.read(steady=True) as conn:
            yield from attention(conn, self._times.oldest(conn))
        yield from behind(self._db, self._log, self._clock, log_clock=self._log_clock)

    def record(self, account: str, contact: str | None) -> Parts:
        """The plays, actions, tasks and suppressions of an account or a contact."""
        return record(self._db, self._hasher, self._clock, account, contact)

    def places(self) -> Mapping[tuple[str, int], int]:
        """How far events and triggers have been applied: offsets by topic and partition."""
        with self._db.read() as conn:
            rows = ownership.positions(conn)
        events = {(EVENTS, number): row.next_event for number, row in rows.items()}
        return events | {(TRIGGERS, number): row.next_trigger for number, row in rows.items()}

    def ready(self) -> bool:
        """Whether the threads run without a failure."""
        threads = (self.worker, self.delivery)
        return all(one.alive and one.failure is None for one in threads)

    def status(self) -> Mapping[str, Any]:
        """How much is left to do, the same from every process of the service, and the troubles of this process."""
        said = status(self._db, self._log, self._clock, log_clock=self._log_clock)
        troubles = [
            {"channel": name, "since": rfc3339(trouble.since), "detail": trouble.detail}
            for name, trouble in self.delivery.troubles().items()
        ]
        silent = self.delivery.silent.all()[:MOST_SHOWN]
        troubles += [
            {"channel": "webhook", "endpoint": one.endpoint, "since": rfc3339(one.since), "detail": SILENT}
            for one in silent
        ]
        return {**said, "trouble": said["trouble"] + troubles}

    def measure(self) -> Iterable[Sample]:
        """The number of actions due, and this service's lag."""
        return measure(self._db, self._log, self._clock, log_clock=self._log_clock)
