"""The app: any of the three services in one process, on what the settings name.

    with open_runtime(load_settings()) as runtime:   # migrated, log open, services started
        ...                                          # runtime.app answers requests

    serve(load_settings())                           # the same behind a server, until a signal

One straight function builds everything; what was opened is closed in reverse order.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from fastapi import FastAPI
from sqlalchemy import MetaData
from starlette.types import ASGIApp

from backbone.audit import prune as prune_audit
from backbone.clock import Clock, SteadyClock
from backbone.data_folder import make_data_dir, secret_key
from backbone.database import Database
from backbone.errors import ConfigurationError, LogUnavailable
from backbone.exports import stamps
from backbone.gc_tuning import collect_less
from backbone.housekeeping import Housekeeping, HousekeepingJob
from backbone.log import Log, open_log
from backbone.migrations import check_schema, migrate_all
from backbone.settings import Settings
from backbone.signing_secret import hold_to_secret
from backbone.store_identity import hold_together
from backbone.telemetry import get_logger
from backbone.web import server
from backbone.web.api_keys import ensure_admin_key
from backbone.web.app import Service, create_app
from backbone.web.idempotency import prune_all
from services.console.forwarding.app import gateway_of
from services.console.front import open_front

SERVICES = ("ingest", "rules", "actions")
SCRUB_S = 15.0  # what was deleted is out of all files after that much quiet
STOP_S = 15.0  # after that much stopping the process ends as if killed, which loses nothing
log = get_logger("touchline")


@dataclass
class Runtime:
    """What runs in this process. `app` is the API; `front` is what is served: the API, and the console's pages where
    all services are. `new_admin_key` is set on the first start."""

    settings: Settings
    db: Database
    log: Log
    clock: Clock
    services: Sequence[Service]
    app: FastAPI
    front: ASGIApp
    new_admin_key: str | None = None


@contextmanager
def open_runtime(
    settings: Settings, names: Sequence[str] = SERVICES, *, clock: Clock | None = None
) -> Iterator[Runtime]:
    """Everything open and started, in the order: tables, log, services. Raises `ConfigurationError`."""
    collect_less()
    with ExitStack() as stack:
        make_data_dir(settings)
        time = clock or SteadyClock(follow=settings.clock_jumps == "follow")
        db = Database(settings.url, pool_size=settings.database_pool)
        stack.callback(db.close)
        prepare(db, names)
        if not {"ingest", "actions"}.isdisjoint(names):
            hold_to_secret(db, secret_key(settings))  # refuse now rather than at the first mail or merge
        new_key = ensure_admin_key(db, time, settings.data_dir / "admin.key") if settings.embedded else None
        records = _open_log(settings, time if isinstance(time, SteadyClock) else None)
        stack.callback(records.close)
        services = [_build(name, settings, db, records, time) for name in names]
        if set(names) != {"ingest"}:  # the door alone stays open; its worker stands still where it has to
            hold_together(db, records, [service.places() for service in services], settings.accept_loss)
        app = create_app(_title(names), settings=settings, db=db, log=records, clock=time, services=services)
        for service in services:
            stack.callback(service.stop)
            service.start()
        upkeep = Housekeeping(
            [*_chores(db, time, settings), *(chore for service in services for chore in service.chores)]
        )
        stack.callback(upkeep.stop)
        upkeep.start()
        yield Runtime(settings, db, records, time, services, app, _front(app, settings, names, time), new_key)


def _front(app: FastAPI, settings: Settings, names: Sequence[str], clock: Clock) -> ASGIApp:
    """The pages need all three services; a part of them has none."""
    if set(names) != set(SERVICES):
        return app
    return open_front(app, secret=secret_key(settings), public_url=settings.public_url, clock=clock)


def prepare(db: Database, names: Sequence[str]) -> None:
    """Bring SQLite's tables up to date; check those of PostgreSQL, which `touchline migrate` makes."""
    rooms = ["backbone", *names]
    if db.dialect == "sqlite":
        migrate_all(db, rooms)
    for room in rooms:
        check_schema(db, room, _tables(room))
        stamps.check(db, room)


def serve(settings: Settings, names: Sequence[str] = SERVICES) -> None:
    """Serve until SIGINT or SIGTERM. Raises `ConfigurationError` if the start is refused."""
    listener = server.bind(settings)
    with listener, open_runtime(settings, names) as rooms:
        if rooms.new_admin_key is not None:
            _show_admin_key(settings, rooms.new_admin_key)
        _say_where(settings, names)
        server.run(rooms.front, settings, listener)
        log.info("stopping")
        _stop_for_sure()
    log.info("stopped")


def serve_console(settings: Settings) -> None:
    """Serve the console before services that run apart, until SIGINT or SIGTERM. Raises `ConfigurationError`."""
    time = SteadyClock(follow=settings.clock_jumps == "follow")
    front = open_front(
        gateway_of(settings), secret=secret_key(settings), public_url=settings.public_url, clock=time
    )
    listener = server.bind(settings)
    with listener:
        _say_where(settings, ["console"])
        server.run(front, settings, listener, gateway=True)
        log.info("stopping")
        _stop_for_sure()
    log.info("stopped")


@contextmanager
def running(
    settings: Settings, names: Sequence[str] = SERVICES, *, clock: Clock | None = None
) -> Iterator[tuple[Runtime, str]]:
    """A runtime behind a server in a thread: (runtime, its address). For tests and demo; port 0 takes a free one."""
    with open_runtime(settings, names, clock=clock) as rooms:
        threaded = server.ThreadedServer(rooms.front, settings)
        threaded.start()
        try:
            yield rooms, threaded.url
        finally:
            threaded.stop()


def _chores(db: Database, clock: Clock, settings: Settings) -> list[HousekeepingJob]:
    """What concerns all services."""

    def shorten_audit() -> None:
        prune_audit(db, clock.now() - settings.log_retention)

    return [
        HousekeepingJob("audit entries as old as the log", 600.0, shorten_audit),
        HousekeepingJob("answers of a day ago", 600.0, lambda: prune_all(db)),
        HousekeepingJob("the write-ahead file", SCRUB_S, db.scrub),
    ]


def _open_log(settings: Settings, clock: Clock | None) -> Log:
    try:
        return open_log(settings, None if clock is None else clock.now)
    except LogUnavailable as error:
        raise ConfigurationError(error.message) from error


def _build(name: str, settings: Settings, db: Database, records: Log, clock: Clock) -> Service:
    """The service of this name, not started yet. Only what runs here is imported."""
    match name:
        case "ingest":
            from services.ingest.service import IngestService

            return IngestService(settings, db, records, clock)
        case "rules":
            from services.rules.service import RulesService

            return RulesService(settings, db, records, clock)
        case "actions":
            from services.actions.service import ActionsService

            return ActionsService(settings, db, records, clock)
    raise LookupError(f"there is no service {name}")


def _tables(room: str) -> MetaData:
    match room:
        case "backbone":
            from backbone.tables import metadata
        case "ingest":
            from services.ingest.tables import metadata
        case "rules":
            from services.rules.tables import metadata
        case "actions":
            from services.actions.tables import metadata
        case _:
            raise LookupError(f"there are no tables of {room}")
    return metadata


def _title(names: Sequence[str]) -> str:
    return "Touchline" if set(names) == set(SERVICES) else f"Touchline {', '.join(names)}"


def _show_admin_key(settings: Settings, key: str) -> None:
    path = settings.data_dir / "admin.key"
    print(f"Admin key, shown this once and kept in {path}:\n\n    {key}\n", flush=True)  # noqa: T201


def _say_where(settings: Settings, names: Sequence[str]) -> None:
    log.info("serving", services=list(names), url=settings.base_url, docs=f"{settings.base_url}/docs")


def _stop_for_sure() -> None:
    """A service that hangs while it stops shall not keep the process: what is not committed is done again."""

    def end() -> None:
        log.error("a service did not stop in time", seconds=STOP_S)
        os._exit(1)

    timer = threading.Timer(STOP_S, end)
    timer.daemon = True
    timer.start()
