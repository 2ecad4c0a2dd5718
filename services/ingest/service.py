"""Wires the ingest service, which keeps who Segment's users are, and which accounts no longer exist."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter

from backbone.clock import Clock
from backbone.data_folder import secret_key
from backbone.database import Database
from backbone.log import Log
from backbone.settings import Settings
from backbone.status_metrics import Sample
from backbone.web.account_record import Parts
from services.ingest.acceptor import Acceptor
from services.ingest.account_fates import AccountFates
from services.ingest.account_record import record
from services.ingest.api.calls import calls_router
from services.ingest.api.events import accounts_router, clock_router, events_router
from services.ingest.api.receiver import Receiver
from services.ingest.api.segment import library_settings_router
from services.ingest.api.sources import sources_routers
from services.ingest.event_type_aliases import Aliases, aliases_router
from services.ingest.event_warnings import EventWarnings
from services.ingest.identity.merged_accounts import MergedAccounts
from services.ingest.identity.store import IdentityStore
from services.ingest.saved_sources import SavedSources


class IngestService:
    """Accepts events over HTTP and appends them to the log."""

    name = "ingest"
    chores = ()

    def __init__(self, settings: Settings, db: Database, log: Log, clock: Clock) -> None:
        self._db = db
        merges = MergedAccounts(db, secret_key(settings))
        identities = IdentityStore(db, clock, merges)
        aliases = Aliases(db, clock)
        self.intake = Acceptor(settings, log, clock, AccountFates(db, clock, merges, identities), aliases)
        doubts = EventWarnings(db, wall=settings.clock == "wall")
        receiver = Receiver(self.intake, doubts, identities)
        self.routers: Sequence[APIRouter] = [
            events_router(receiver),
            accounts_router(self.intake, doubts),
            clock_router(self.intake, settings, log.partitions),
            aliases_router(aliases),
            *sources_routers(db, clock, SavedSources(db)),
            calls_router(receiver),
            library_settings_router(settings),
        ]

    def start(self) -> None:
        """Nothing to start: requests do all the work."""

    def stop(self) -> None:
        """Nothing to stop: the server has answered every request by then."""

    def record(self, account: str, contact: str | None) -> Parts:
        """The users and calls known from Segment."""
        return record(self._db, account, contact)

    def places(self) -> Mapping[tuple[str, int], int]:
        """Empty: this service reads no partitions."""
        return {}

    def ready(self) -> bool:
        """Ready whenever the log and the database are."""
        return True

    def status(self) -> Mapping[str, Any]:
        """This service's part of the status: busy while requests wait for the log."""
        return {"idle": self.intake.in_flight == 0, "in_flight": self.intake.in_flight}

    def measure(self) -> Iterable[Sample]:
        """Empty: this service has no lag."""
        return ()
