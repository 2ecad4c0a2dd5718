"""Webhooks and mails a second: the delivery loop with all that it commits, against a bare loop at the same concurrency.

The sinks are processes of their own, the same for both sides.
"""

import asyncio
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import uvloop
from aiosmtplib import SMTP
from sqlalchemy import insert, select, update

from backbone.clock import WallClock
from backbone.database import Database
from backbone.migrations import migrate_all
from backbone.settings import Settings, load_settings
from bench import floors
from bench.measure import REPEATS, SCALE, Result, paired
from schemas.profile import Contact, Profile
from services.actions.channels.email.message import build
from services.actions.channels.email.smtp import SmtpTransport
from services.actions.channels.webhook.channel import WebhookChannel
from services.actions.delivery import Dispatcher
from services.actions.plays.model import SENDABLE
from services.actions.storage.library import ENDPOINTS
from services.actions.storage.library import POLICY as POLICIES
from services.actions.storage.suppressions import Hasher
from services.actions.tables import accounts, actions, plays

HOOKS, MAILS = 10_000, 1_000  # a repeat
POLICY = {  # every mail may begin, and each has to be judged: one to an address, two of an account
    "timezone": "Europe/Berlin",
    "hours": {"from": "00:00", "to": "24:00"},
    "holidays": ["2026-12-25", "2027-01-01"],
    "caps": [{"at_most": 2, "within": "7d"}, {"at_most": 3, "within": "1d", "per": "account"}],
}
TAKES = (0.05, 0.2, 1.0)  # seconds that receivers take for a webhook
SLOW_S = 10.0  # how long webhooks to such a receiver take, at best
PATIENCE_S = 60.0
WEBHOOK = {
    "play": "ply_1",
    "account": {"id": "acme", "name": "Acme"},
    "trigger": {"rule": "r", "value": 7, "tier": "low"},
}
MAIL = {
    "subject": "Your week", "text": "Hi Ann,\n\n" + "a line of some length\n" * 20,
    "html": "<p>Hi Ann</p>" + "<p>a line of some length</p>" * 20,
    "from": {"name": "Jo Doe", "email": "jo@us.test"}, "to": {"name": "Ann Lee", "email": "ann@acme.test"},
    "reply_to": {"name": "Jo Doe", "email": "jo@us.test"}, "unsubscribe_url": "https://us.test/u/token",
}  # fmt: skip


def webhooks(tick: Callable[[], None]) -> list[Result]:
    """Webhooks a second to one endpoint."""
    with floors.running("hooks") as (port, _):
        url, most = f"http://127.0.0.1:{port}/", WebhookChannel.per_key
        ours, base, raw = paired(
            lambda: _delivered("webhook", HOOKS, {"body": WEBHOOK}, url),
            lambda: _timed(_posts(url, most), HOOKS),
        )
    tick()
    return [Result("webhooks", ours, "webhooks/s", None, base, raw, f"{most} at once")]


def webhooks_slow(tick: Callable[[], None]) -> list[Result]:
    """Webhooks a second to one endpoint that takes its time, against what its places allow: `concurrency` / time."""
    found = []
    for takes in TAKES:
        count = max(2 * WebhookChannel.per_key, round(SLOW_S * SCALE * WebhookChannel.per_key / takes))
        with floors.running("hooks", takes) as (port, _):
            url = f"http://127.0.0.1:{port}/"
            raw = [
                round(_delivered("webhook", count, {"body": WEBHOOK}, url, warm=True), 3)
                for _ in range(REPEATS)
            ]
        most = WebhookChannel.per_key / takes
        unit = f"webhooks/s at {takes * 1000:g} ms"
        found.append(Result("webhooks_slow", statistics.median(raw), unit, None, most, {"ours": raw}))
        tick()
    return found


def mails(tick: Callable[[], None]) -> list[Result]:
    """Mails a second to one server."""
    with floors.running("mails") as (port, _):
        ours, base, raw = paired(
            lambda: _delivered("email", MAILS, MAIL, f"smtp://127.0.0.1:{port}"),
            lambda: _timed(_sends(port, SmtpTransport.concurrency), MAILS),
        )
    tick()
    return [Result("mails", ours, "mails/s", None, base, raw, f"{SmtpTransport.concurrency} connections")]


def policy(tick: Callable[[], None]) -> list[Result]:
    """Mails a second to one server under a sending policy, to those without one."""
    with floors.running("mails") as (port, _):
        url = f"smtp://127.0.0.1:{port}"
        ours, base, raw = paired(
            lambda: _delivered("email", MAILS, MAIL, url, policy=POLICY),
            lambda: _delivered("email", MAILS, MAIL, url),
        )
    tick()
    return [Result("policy", ours, "mails/s", None, base, raw, "hours, holidays, two caps")]


def _delivered(
    channel: str,
    count: int,
    rendered: dict[str, Any],
    target: str,
    *,
    warm: bool = False,
    policy: dict[str, Any] | None = None,
) -> float:
    """Deliveries a second by our dispatcher, which ends when the last action's end is committed.

    `warm`: the other side has answered once already, and so is known not to hang. `policy`: the sending policy.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(
            data_dir=Path(folder), webhook_allowed_networks="127.0.0.0/8",
            smtp_url=target if channel == "email" else None,
        )  # fmt: skip
        db = Database(settings.url)
        migrate_all(db)
        _put(db, channel, count, rendered, target, first=warm)
        if policy is not None:
            with db.write() as conn:
                POLICIES.put(conn, POLICIES.kind, policy, "bench", WallClock().now())
        try:
            return count / _run(settings, db, first=warm)
        finally:
            db.close()


def _run(settings: Settings, db: Database, *, first: bool) -> float:
    left = threading.Event()
    delivery = Dispatcher(
        settings, db, WallClock(), Hasher(b"a key for benchmarks"), settings.partitions, left.set, alone=True
    )
    started = time.perf_counter()
    delivery.start()
    try:
        if first:
            while _waits(db, "act_first"):
                left.wait(1)
                left.clear()
            started = time.perf_counter()
            with db.write() as conn:
                conn.execute(update(actions).where(actions.c.status == "pending").values(next_attempt_at=1))
            delivery.wake()
        while time.perf_counter() - started < PATIENCE_S:
            left.wait(1)  # set at every commit that ended something
            left.clear()
            if not _waits(db):
                return time.perf_counter() - started
    finally:
        delivery.stop()
    raise RuntimeError(f"actions are left: {delivery.failure!r}")


def _waits(db: Database, *ids: str) -> bool:
    found = select(actions.c.seq).where(actions.c.status.in_(SENDABLE)).limit(1)
    with db.read() as conn:
        return conn.scalar(found.where(actions.c.id.in_(ids)) if ids else found) is not None


def _put(
    db: Database, channel: str, count: int, rendered: dict[str, Any], target: str, *, first: bool
) -> None:
    """Store actions; `first`: only one more, `act_first`, is due, and the others are not yet."""
    now, names = WallClock().now(), [*map(str, range(count)), *(["first"] if first else [])]
    accounts_of = {name: f"acme-{place // 2}" for place, name in enumerate(names)}
    people = {"ann": Contact(id="ann", email="ann@acme.test", timezone="Europe/Lisbon")}
    with db.write() as conn:
        if channel == "webhook":
            document = {"url": target, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
            ENDPOINTS.put(conn, "sink", document, "bench", now)
        conn.execute(insert(accounts), [{
            "account": account, "partition": 0, "profile": msgspec.json.encode(Profile(id=account, contacts=people)),
        } for account in sorted(set(accounts_of.values()))])  # fmt: skip
        conn.execute(insert(plays), [{
            "id": f"ply_{name}", "partition": 0, "playbook": "p", "playbook_version": 1, "rule": "r",
            "trigger_id": f"t{name}", "account": accounts_of[name], "scope": "account", "tier": "low",
            "topic": "lifecycle", "status": "open", "started_at": now, "trigger": {}, "templates": {},
        } for name in names])  # fmt: skip
        conn.execute(insert(actions), [{
            "id": f"act_{name}", "partition": 0, "play": f"ply_{name}", "playbook": "p",
            "account": accounts_of[name], "contact": "ann", "channel": channel, "step": "0",
            "recipient": f"ann-{name}@acme.test" if channel == "email" else "sink",
            "addressee": f"ann-{name}@acme.test" if channel == "email" else None, "topic": "lifecycle",
            "tier": "low", "status": "pending", "created_at": now, "due_at": now, "rendered": rendered,
            "next_attempt_at": 2**60 if first and name != "first" else now,
        } for name in names])  # fmt: skip


def _timed(work: Callable[[int], Coroutine[Any, Any, None]], count: int) -> float:
    started = time.perf_counter()
    uvloop.run(work(count))
    return count / (time.perf_counter() - started)


def _posts(url: str, most: int) -> Callable[[int], Coroutine[Any, Any, None]]:
    """The bare loop: aiohttp posts, a fixed number at once."""
    body = msgspec.json.encode(WEBHOOK)

    async def work(count: int) -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def lane(share: int) -> None:
                for _ in range(share):
                    async with session.post(
                        url, data=body, headers={"Content-Type": "application/json"}
                    ) as answer:
                        await answer.read()

            await asyncio.gather(*(lane(count // most) for _ in range(most)))

    return work


def _sends(port: int, most: int) -> Callable[[int], Coroutine[Any, Any, None]]:
    """The bare loop: aiosmtplib sends the same message, over a fixed number of connections."""
    mail = build("act_1", MAIL, "bounces@us.test")
    message = mail.message(1_790_000_000_000_000)

    async def work(count: int) -> None:
        async def lane(share: int) -> None:
            async with SMTP(hostname="127.0.0.1", port=port, start_tls=False) as smtp:
                for _ in range(share):
                    await smtp.sendmail(mail.sender, [mail.recipient], message)

        await asyncio.gather(*(lane(count // most) for _ in range(most)))

    return work
