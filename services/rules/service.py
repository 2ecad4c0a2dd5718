"""Wires the rules service: its API, its worker, its part of the status."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from sqlalchemy import Connection

from backbone.clock import Clock
from backbone.database import Database
from backbone.exports.erased import forget
from backbone.housekeeping import HousekeepingJob
from backbone.jobs.queue import JobQueue
from backbone.jobs.runner import JobRunner
from backbone.log import EVENTS, Log, partition_for
from backbone.settings import Settings
from backbone.stats.fold import fold
from backbone.status_metrics import Sample, lag_samples
from backbone.telemetry import get_logger
from backbone.web.account_record import Parts
from backbone.web.attention import BEHIND_US, Attention
from backbone.web.stats import stats_router
from schemas.attention import AttentionKind
from schemas.event import rfc3339
from services.rules import published_outlines
from services.rules.account_record import AccountRecord
from services.rules.account_rows import AccountRows
from services.rules.api import exports
from services.rules.api.account_events import AccountEvents
from services.rules.api.accounts import accounts_router, triggers_router
from services.rules.api.backtests import backtests_router
from services.rules.api.explain import Explainer
from services.rules.api.matches import Matches, matches_router
from services.rules.api.pause import RulePauses
from services.rules.api.rule_list import rule_list_router
from services.rules.api.rules import rules_router
from services.rules.api.start import StartsByHand, start_router
from services.rules.backtest.erased import ErasedFromBacktests
from services.rules.clock_ahead import trouble
from services.rules.event_catalog import warnings_about
from services.rules.metrics import CLOCK_AHEAD, SOURCE_SILENT
from services.rules.silent_notices import SilentNotices
from services.rules.sources import SourceState, heartbeats_of, sources, written
from services.rules.sources import trouble as silence
from services.rules.storage import queries
from services.rules.storage.listings import refresh as refresh_listings
from services.rules.storage.ownership import OWNERSHIP, RulesPartition
from services.rules.storage.retention import is_swept
from services.rules.storage.rule_repository import RuleRepository
from services.rules.tables import COUNTED, STATS, export_erased
from services.rules.troubles import RuleTroubles
from services.rules.unhealthy_notices import UnhealthyNotices
from services.rules.worker import RulesWorker

log = get_logger("touchline.rules")


class RulesService:
    """The judge: rules, tiers, accounts and triggers over HTTP, and the worker that decides."""

    name = "rules"

    def __init__(self, settings: Settings, db: Database, log: Log, clock: Clock) -> None:
        self._db, self._log, self._clock = db, log, clock
        self._wall = settings.clock == "wall"
        self._kept = settings.log_retention
        self._said_ahead = False
        self.worker = RulesWorker(
            db,
            log,
            clock,
            clock_mode=settings.clock,
            cache=settings.accounts_in_memory << 20,
            keep=settings.history_retention,
        )
        unhealthy = UnhealthyNotices(db, clock.now, self.worker.failed)
        silent = SilentNotices(db, clock.now, self._sources)
        backtests = JobQueue(db, clock, "backtest")
        self._runner = JobRunner(backtests, settings, "services.rules.backtest.process")
        self.chores = [
            HousekeepingJob("partitions' clocks", 5.0, self._tell_ahead),
            HousekeepingJob("unhealthy rules", 2.0, unhealthy.write),
            HousekeepingJob("silent sources", 5.0, silent.write),
            HousekeepingJob("rows erased before the log begins", 600.0, self._forget_erased),
            HousekeepingJob("counts", 2.0, partial(fold, db, STATS)),
            HousekeepingJob("old backtests", 600.0, backtests.prune),
            HousekeepingJob("backtests of the erased", 5.0, ErasedFromBacktests(db, clock, backtests).sweep),
        ]
        self._saver = RuleRepository(db, log, clock)
        where = partial(partition_for, partitions=log.partitions)
        explainer = Explainer(db, clock, wall=self._wall, partition_of=where, unhealthy=self.worker.unhealthy)
        rows = AccountRows(db, explainer)
        self.chores.append(HousekeepingJob("accounts for analysts", 2.0, rows.sweep))
        self.chores.append(
            HousekeepingJob("listings of accounts", 2.0, lambda: refresh_listings(db, explainer.rules))
        )
        self._troubles = RuleTroubles(
            db, failed=self.worker.failed, sources=self._sources, rules=explainer.rules
        )
        matches = Matches(db, clock, wall=self._wall)
        pauses = RulePauses(db, log, clock)
        self.chores.append(HousekeepingJob("answers to pauses", 3_600.0, pauses.prune))
        by_hand = StartsByHand(db, log, clock, matches)
        self.chores.append(HousekeepingJob("requests to start by hand", 3_600.0, by_hand.prune))
        self._recorder = AccountRecord(db, log, explainer, where)
        self.routers = [
            rules_router(db, self._saver, explainer, partial(warnings_about, db), pauses),
            rule_list_router(db, explainer, self._troubles),
            matches_router(matches),
            start_router(by_hand),
            accounts_router(db, explainer, AccountEvents(db, log, wall=self._wall)),
            triggers_router(db),
            exports.router(db, log, rows, wall=self._wall),
            stats_router(db, STATS, COUNTED, "rules:read"),
            backtests_router(db, backtests, self._runner.wake),
        ]

    def start(self) -> None:
        """Relay what was left unrelayed after a crash, then start work."""
        published_outlines.refresh(self._db)
        self._saver.announce()
        self.worker.start()
        self._runner.start()

    def stop(self) -> None:
        """Finish the current batch, then stop. A backtest starts again elsewhere, or at the next start."""
        self._runner.stop()
        self.worker.stop()

    def attention(self) -> Iterator[Attention]:
        """Rules that need a person, and that the worker is behind."""
        yield from self._troubles.attention()
        with self._db.read() as conn:
            places = OWNERSHIP.positions(conn)
        late = [p for p, lag in self._lags(places).items() if lag]
        clocks = [places[p].clock if p in places else 0 for p in late]
        if clocks and (not self._wall or min(clocks) < self._clock.now() - BEHIND_US):
            count = self.status()["lag"]
            since = min((clock for clock in clocks if clock), default=None)
            yield Attention(AttentionKind.BEHIND, count, since, "/v1/status", "rules:read")

    def record(self, account: str, contact: str | None) -> Parts:
        """The account, its state, its triggers, and its records in the log."""
        return self._recorder.parts(account, contact)

    def places(self) -> Mapping[tuple[str, int], int]:
        """How far the events have been read."""
        with self._db.read() as conn:
            return {(EVENTS, number): row.next_offset for number, row in OWNERSHIP.positions(conn).items()}

    def ready(self) -> bool:
        """Whether the worker runs."""
        return self.worker.alive and self.worker.failure is None

    def status(self) -> Mapping[str, Any]:
        """The events not yet processed, the triggers not yet on the log, and the slowest partition's clock."""
        with self._db.read() as conn:
            places = OWNERSHIP.positions(conn)
            waiting = queries.count_unrelayed(conn) + queries.count_outgoing(conn)
            silent = self._sources(conn)
        lag = sum(self._lags(places).values())
        behind = self.worker.unreported()
        clocks = _clocks(places.values())
        return {
            **self._ahead(clocks, self._clock.now()),
            **silence(silent),
            "lag": lag + waiting,
            "clock": self._shown(clocks, lag),
            "idle": lag + waiting + behind == 0 and self._swept(places.values()),
        }

    def measure(self) -> Iterator[Sample]:
        """How far this service is behind, and how far the furthest partition's clock is ahead."""
        with self._db.read() as conn:
            places, known = OWNERSHIP.positions(conn), self._sources(conn)
        yield from lag_samples(self.name, self._lags(places))
        clocks, now = _clocks(places.values()), self._clock.now()
        yield Sample(CLOCK_AHEAD, (self.name,), (max(clocks) - now) / 1e6 if self._ahead(clocks, now) else 0)
        for one in known:
            yield Sample(SOURCE_SILENT, (self.name, one.name, written(one.within)), int(one.silent))

    def _forget_erased(self) -> None:
        """Keep no id of an erased row for longer than the log has its events."""
        forget(self._db, export_erased, self._clock.now(), self._kept)

    def _lags(self, places: Mapping[int, RulesPartition]) -> dict[int, int]:
        """The events not yet processed, by partition."""
        ends = self._log.end_offsets(EVENTS)
        starts = self._log.start_offsets(EVENTS)
        first = {p: places[p].next_offset if p in places else starts.get(p, 0) for p in ends}
        return {p: max(0, end - first[p]) for p, end in ends.items()}

    def _sources(self, conn: Connection) -> list[SourceState]:
        """The sources that rules' `alive` ask for, and whether they are silent now."""
        clocks = _clocks(OWNERSHIP.positions(conn).values())
        return list(sources(heartbeats_of(conn), self._clock.now() if self._wall else max(clocks, default=0)))

    def _ahead(self, clocks: list[int], now: int) -> dict[str, Any]:
        """The partitions whose clocks are ahead of ours, by the wall clock; empty if there are none."""
        return trouble(clocks, now) if self._wall else {}

    def _tell_ahead(self) -> None:
        """Log once that partitions' clocks are ahead, and again if they have been right in the meantime."""
        with self._db.read() as conn:
            clocks = _clocks(OWNERSHIP.positions(conn).values())
        said = self._ahead(clocks, self._clock.now())
        if said and not self._said_ahead:
            log.error("clock.partitions_ahead", **said["clock_ahead"])
        self._said_ahead = bool(said)

    def _swept(self, places: Iterable[RulesPartition]) -> bool:
        """Whether everything that was old at the last daily tick has been deleted."""
        now = self._clock.now() if self._wall else None
        return all(is_swept(place, now) for place in places)

    def _shown(self, clocks: list[int], lag: int) -> str | None:
        """The slowest partition's clock; with nothing left to read, the wall clock."""
        if self._wall and not lag:
            return rfc3339(self._clock.now())
        return rfc3339(min(clocks)) if clocks else None


def _clocks(places: Iterable[RulesPartition]) -> list[int]:
    """The clocks, in microseconds, of the partitions that have one."""
    return [place.clock for place in places if place.clock]
