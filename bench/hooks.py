"""Measures hooks: signed, mapped and durable, against the same events posted one by one to the same server."""

import hashlib
import hmac
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from backbone.clock import WallClock
from bench import client
from bench.http import SECONDS
from bench.measure import Result, paired
from bench.served import Served, served
from bench.workload import lines

CONNECTIONS = 32
REQUESTS, BATCH = 20_000, 500
SECRET = "whsec_of_the_benchmark"
# As large as that of `sources/stripe`, and the event is of its last entry.
SOURCE: dict[str, Any] = {
    "verify": {"scheme": "stripe", "secret": SECRET},
    "events": [
        *(
            {"when": f"type == 'other.{number}'", "type": "other", "account": {"id": "id"}}
            for number in range(10)
        ),
        {
            "when": "type == 'invoice.payment_failed' && data.object.status != 'void'",
            "type": "payment.failed",
            "id": "id",
            "time": "created",
            "account": {"external_id": "data.object.customer"},
            "data": {
                "invoice": "data.object.id",
                "amount": "minor_units(data.object.amount_due, data.object.currency)",
                "attempts": "data.object.attempt_count",
                "reason": "data.object.last_error.code",
            },
        },
    ],
}


def hooks(tick: Callable[[], None]) -> list[Result]:
    """Hooks a second, and as a share of the events a second."""
    with tempfile.TemporaryDirectory() as folder, served(Path(folder), "ingest") as ours:
        ours.call("PUT", "/v1/sources/stripe", SOURCE)
        accounts = [msgspec.json.decode(line)["account"] for line in lines(REQUESTS)]
        _known(ours, sorted(set(accounts)))
        events = [client.post("/v1/events", body, ours.key) for body in lines(REQUESTS)]
        now = WallClock().now() // 1_000_000
        sent = [_signed(_body(number, one, now), now) for number, one in enumerate(accounts)]
        value, base, raw = paired(
            lambda: client.rate(ours.port, sent, CONNECTIONS, SECONDS),
            lambda: client.rate(ours.port, events, CONNECTIONS, SECONDS),
        )
    tick()
    note = f"{CONNECTIONS} connections; a signature of Stripe's, {len(SOURCE['events'])} entries, five fields"
    return [Result("hooks", value, "hooks/s", None, base, raw, note)]


def _known(ours: Served, accounts: Sequence[str]) -> None:
    """Say what Stripe calls these accounts."""
    for at in range(0, len(accounts), BATCH):
        updates = [
            {"type": "account.updated", "account": one, "data": {"external_ids": {"stripe": f"cus_{one}"}}}
            for one in accounts[at : at + BATCH]
        ]
        ours.call("POST", "/v1/events", updates)


def _body(number: int, account: str, now: int) -> bytes:
    """An event of Stripe's, shortened as an invoice goes: about 1 KB."""
    invoice = {
        "id": f"in_{number}", "object": "invoice", "customer": f"cus_{account}", "amount_due": 119_900,
        "currency": "usd", "status": "open", "attempt_count": 2, "last_error": {"code": "card_declined"},
        "lines": {"data": [{"id": f"il_{n}", "amount": 100, "description": "1 × seat"} for n in range(8)]},
    }  # fmt: skip
    return msgspec.json.encode(
        {"id": f"evt_{number}", "object": "event", "type": "invoice.payment_failed", "created": now,
         "data": {"object": invoice}, "livemode": True, "pending_webhooks": 1}
    )  # fmt: skip


def _signed(body: bytes, now: int) -> bytes:
    digest = hmac.new(SECRET.encode(), b"%d." % now + body, hashlib.sha256).hexdigest()
    return client.post_with("/v1/hooks/stripe", body, f"stripe-signature: t={now},v1={digest}")
