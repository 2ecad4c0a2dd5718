"""Wires the ingest service, which keeps who Segment's users are, which accounts no longer exist, and by what the others
are found."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastapi import APIRouter

from backbone.clock import Clock
from backbone.data_folder import secret_key
from backbone.database import Database
from backbone.housekeeping import HousekeepingJob
from backbone.log import EVENTS, Log
from backbone.settings import Settings
from backbone.status_metrics import Sample, lag_samples
from backbone.web.account_record import Parts
from backbone.web.attention import Attention
from schemas.attention import AttentionKind
from services.ingest.acceptor import Acceptor
from services.ingest.account_fates import AccountFates
from services.ingest.account_record import record
from services.ingest.api.calls import calls_router
from services.ingest.api.events import accounts_router, clock_router, events_router
from services.ingest.api.hooks import hooks_routers
from services.ingest.api.receiver import Receiver
from services.ingest.api.segment import library_settings_router
from services.ingest.api.sources import sources_routers
from services.ingest.api.unmatched import unmatched_router
from services.ingest.attention import unmatched
from services.ingest.directory_progress import DirectoryProgress
from services.ingest.event_type_aliases import Aliases, aliases_router
from services.ingest.event_warnings import EventWarnings
from services.ingest.hooks import HookReceiver
from services.ingest.identity.directory import Directory
from services.ingest.identity.merged_accounts import MergedAccounts
from services.ingest.identity.pruning import prune_followed
from services.ingest.identity.source_placement import SourcePlacement
from services.ingest.identity.store import IdentityStore
from services.ingest.identity.unmatched import Unmatched
from services.ingest.saved_sources import SavedSources
from services.ingest.source_acceptor import SourceAcceptor
from services.ingest.worker import OWNERSHIP, IngestWorker


class IngestService:
    """Accepts events over HTTP and appends them to the log; reads it for what tells whose events are."""

    name = "ingest"

    def __init__(self, settings: Settings, db: Database, log: Log, clock: Clock) -> None:
        self._db, self._log = db, log
        merges = MergedAccounts(db, secret_key(settings))
        identities = IdentityStore(db, clock, merges)
        aliases = Aliases(db, clock)
        self._directory = directory = Directory(secret_key(settings))
        self.unmatched = Unmatched(db, log, clock, directory)
        progress = DirectoryProgress(db)
        self.worker = IngestWorker(db, log, clock, directory, self.unmatched, progress.advanced)
        progress.hurry = self.worker.hurry
        fates = AccountFates(db, clock, merges, identities)
        self.intake = Acceptor(settings, log, clock, fates, aliases, progress)
        placement = SourcePlacement(db, clock, directory, self.unmatched)
        self.sources = SourceAcceptor(self.intake, placement)
        self.chores = [
            HousekeepingJob("events unmatched for 7 days", 60.0, self.unmatched.prune),
            HousekeepingJob("where sources' events went", 600.0, placement.prune),
            HousekeepingJob("updates that were followed", 600.0, lambda: prune_followed(db, clock)),
        ]
        doubts = EventWarnings(db, wall=settings.clock == "wall")
        receiver = Receiver(self.intake, doubts, identities)
        sources = SavedSources(db)
        hooks = HookReceiver(sources, self.sources, placement, clock, wall=settings.clock == "wall")
        self.routers: Sequence[APIRouter] = [
            events_router(receiver),
            accounts_router(self.intake, doubts),
            clock_router(self.intake, settings, log.partitions),
            aliases_router(aliases),
            *sources_routers(db, clock, sources, hooks),
            *hooks_routers(hooks, settings.base_url),
            calls_router(receiver),
            library_settings_router(settings),
            unmatched_router(db, self.unmatched),
        ]

    def start(self) -> None:
        """Begin to read the log."""
        self.worker.start()

    def stop(self) -> None:
        """Finish the current batch. The server has answered every request by then."""
        self.worker.stop()

    def attention(self) -> Iterator[Attention]:
        """The events whose account nobody knows."""
        with self._db.read() as connection:
            count, oldest = unmatched(connection)
        if count:
            yield Attention(AttentionKind.UNMATCHED, count, oldest, "/v1/unmatched", "rules:read")

    def record(self, account: str, contact: str | None) -> Parts:
        """The users and calls known from Segment, and by what the account is found."""
        return record(self._db, self._directory, account, contact)

    def places(self) -> Mapping[tuple[str, int], int]:
        """How far the events have been read."""
        with self._db.read() as connection:
            rows = OWNERSHIP.positions(connection)
        return {(EVENTS, number): row.next_offset for number, row in rows.items()}

    def ready(self) -> bool:
        """Ready whenever the log and the database are: the door stays open while the directory stands still."""
        return True

    def status(self) -> Mapping[str, Any]:
        """Busy while requests wait for the log, events are to be read, or parked ones can go on."""
        lag, waiting = sum(self._lags().values()), self.unmatched.waiting()
        flying = self.intake.in_flight
        return {"idle": flying + lag + waiting == 0, "in_flight": flying, "lag": lag}

    def measure(self) -> Iterator[Sample]:
        """How far the directory is behind the log."""
        return lag_samples(self.name, self._lags())

    def _lags(self) -> dict[int, int]:
        """The events that the directory has not read yet, by partition."""
        with self._db.read() as connection:
            read = OWNERSHIP.positions(connection)
        ends, starts = self._log.end_offsets(EVENTS), self._log.start_offsets(EVENTS)
        first = {p: read[p].next_offset if p in read else starts.get(p, 0) for p in ends}
        return {p: max(0, end - first[p]) for p, end in ends.items()}
