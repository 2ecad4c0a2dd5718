"""Erasure forgets the rehearsals that have a trigger of the account, on both databases, and no others."""

import msgspec
from sqlalchemy import select

from backbone.jobs.queue import JobQueue
from backbone.tables import jobs
from services.actions.rehearsal_body import RehearsalJob
from services.actions.storage.erasure import ToErase, erase
from services.actions.storage.rehearsals import KIND
from tests.services.actions.kit import House
from tests.unit.plays.kit import T0, trigger


def test_only_those_of_the_account(house: House) -> None:
    queues = {kind: JobQueue(house.db, house.clock, kind) for kind in (KIND, "backtest")}
    of: dict[str, str] = {}
    for place, name in enumerate(("acme", "acme-2", "me", "none")):
        triggers = [] if name == "none" else [trigger(T0, account=name), trigger(T0, 1, account="other")]
        job = RehearsalJob(playbook={}, templates=[], triggers=triggers, until=None, suppressed=b"")
        with house.db.write() as conn:
            of[name] = queues[KIND].submit(conn, str(place), msgspec.msgpack.encode(job), {}).id
    with house.db.write() as conn:
        named = RehearsalJob({}, [], [trigger(T0)], None, b"")
        kept = queues["backtest"].submit(conn, "k", msgspec.msgpack.encode(named), {}).id

    with house.db.write() as conn:
        erase(conn, ToErase("acme", None, []), T0)
        assert set(conn.scalars(select(jobs.c.id))) == {kept, *of.values()} - {of["acme"]}
        erase(conn, ToErase("me", "ann", []), T0)
        assert set(conn.scalars(select(jobs.c.id))) == {kept, of["acme-2"], of["none"]}
