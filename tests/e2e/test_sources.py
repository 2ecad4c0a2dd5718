"""The library as a customer gets it: Stripe, Zendesk and HubSpot are installed beside the playbooks, and their signed
webhooks make the right mails and tasks, and no others.

The clock is the log's: each webhook carries its own time, and days pass at once. Only a signature's time is the wall's.
"""

import hashlib
import hmac
import json
import time
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.e2e.server import Server, items, running
from tests.e2e.test_files import LIBRARY, ROOT, touchline

PUBLIC = "https://touchline.example.com"
SECRETS = {
    "STRIPE_SECRET": "whsec_of_the_test",
    "ZENDESK_SECRET": "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==",
    "HUBSPOT_SECRET": "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy",
}
BEGIN = datetime(2026, 3, 2, 9, tzinfo=UTC)
IDS = {  # in Stripe, Zendesk, HubSpot
    "acme": ("cus_acme", "101", 1001),
    "birch": ("cus_birch", "102", 1002),
    "cedar": ("cus_cedar", "103", 1003),
}
JSON = dict[str, Any]


def signed(secret: str, message: bytes) -> "hmac.HMAC":
    return hmac.new(secret.encode(), message, hashlib.sha256)


class Vendors:
    """Sends webhooks as Stripe, Zendesk and HubSpot sign them."""

    def __init__(self, server: Server) -> None:
        self.http = httpx.Client(base_url=server.url, timeout=30)

    def stripe(self, body: JSON, secret: str = SECRETS["STRIPE_SECRET"]) -> httpx.Response:
        raw, stamp = json.dumps(body).encode(), int(time.time())
        signature = signed(secret, f"{stamp}.".encode() + raw).hexdigest()
        return self.http.post(
            "/v1/hooks/stripe", content=raw, headers={"Stripe-Signature": f"t={stamp},v1={signature}"}
        )

    def zendesk(self, body: JSON, secret: str = SECRETS["ZENDESK_SECRET"]) -> httpx.Response:
        raw, stamp = json.dumps(body).encode(), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        headers = {
            "X-Zendesk-Webhook-Signature": b64encode(signed(secret, stamp.encode() + raw).digest()).decode(),
            "X-Zendesk-Webhook-Signature-Timestamp": stamp,
        }
        return self.http.post("/v1/hooks/zendesk", content=raw, headers=headers)

    def hubspot(
        self, body: list[JSON], secret: str = SECRETS["HUBSPOT_SECRET"], host: str = PUBLIC
    ) -> httpx.Response:
        raw, stamp = json.dumps(body).encode(), str(int(time.time() * 1_000))
        message = f"POST{host}/v1/hooks/hubspot".encode() + raw + stamp.encode()
        headers = {
            "X-HubSpot-Signature-v3": b64encode(signed(secret, message).digest()).decode(),
            "X-HubSpot-Request-Timestamp": stamp,
        }
        return self.http.post("/v1/hooks/hubspot", content=raw, headers=headers)


def after(**passed: float) -> datetime:
    return BEGIN + timedelta(**passed)


def invoice(account: str, kind: str, at: datetime, **more: Any) -> JSON:
    """An event of Stripe about the one invoice of an account."""
    customer = IDS[account][0] if account in IDS else account
    found = {
        "id": f"in_{account}", "number": f"{account.upper()}-0007", "customer": customer, "customer_email": None,
        "currency": "usd", "amount_due": 119900, "amount_paid": 119900, "amount_remaining": 119900, **more,
    }  # fmt: skip
    event = {"id": f"evt_{kind}_{account}", "object": "event", "type": kind, "created": int(at.timestamp())}
    return {**event, "data": {"object": found}}


def ticket(
    account: str, number: int, at: datetime, kind: str = "created", priority: str | None = "HIGH"
) -> JSON:
    """An event of Zendesk about a ticket."""
    return {
        "type": f"zen:event-type:ticket.{kind}", "id": f"{kind}-{account}-{number}-{priority}",
        "time": at.isoformat().replace("+00:00", "Z"), "zendesk_event_version": "2022-11-06", "event": {},
        "detail": {
            "id": f"{account}-{number}", "organization_id": IDS[account][1], "priority": priority, "subject": "Help",
        },
    }  # fmt: skip


def company(account: str, name: str, value: str, at: datetime) -> JSON:
    """A property of a company that changes in HubSpot."""
    return {
        "eventId": 1, "subscriptionId": 2, "portalId": 33, "subscriptionType": "company.propertyChange",
        "objectId": IDS[account][2], "occurredAt": int(at.timestamp() * 1_000), "attemptNumber": 0,
        "propertyName": name, "propertyValue": value,
    }  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The playbooks active, the three sources, and three customers."""
    settings = {"CLOCK": "log", "PARTITIONS": "1", "PUBLIC_URL": PUBLIC}
    with (
        pytest.MonkeyPatch.context() as patch,
        running(tmp_path_factory.mktemp("sources"), **settings) as made,
    ):
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        folders = [ROOT / "sources" / name for name in ("stripe", "zendesk", "hubspot")]
        status, said, wrong = touchline(made, "apply", LIBRARY, *folders)
        assert status == 0, said + wrong
        with made.client() as client:
            for rule in items(client, "/v1/rules"):
                client.post(f"/v1/rules/{rule['name']}/activate").raise_for_status()
            for name, (stripe, zendesk, hubspot) in IDS.items():
                body = {
                    "name": name.title(),
                    "owner": {"name": "Jo Park", "email": "jo@us.test"},
                    "contacts": [
                        {"id": "ann", "name": "Ann", "email": f"ann@{name}.test", "roles": ["admin"]}
                    ],
                    "external_ids": {"stripe": stripe, "zendesk": [zendesk], "hubspot": str(hubspot)},
                }
                when = {"time": BEGIN.isoformat()}
                client.put(f"/v1/accounts/{name}", json=body, params=when).raise_for_status()
        yield made


def done(client: httpx.Client) -> list[tuple[str, str, str, str]]:
    """What has been done, in order: account, step, to whom, title or subject."""
    found = sorted(items(client, "/v1/actions"), key=lambda one: (one["due_at"], one["account"], one["step"]))
    return [
        (one["account"], f"{one['playbook']}/{one['step']}", one["recipient"], _headline(client, one["id"]))
        for one in found
    ]


def _headline(client: httpx.Client, action: str) -> str:
    rendered = client.get(f"/v1/actions/{action}").json()["rendered"]
    return str(rendered.get("title") or rendered.get("subject"))


@pytest.fixture
def vendors(server: Server) -> Iterator[Vendors]:
    made = Vendors(server)
    yield made
    made.http.close()


SO_FAR = [
    ("acme", "payment-failed/call", "jo@us.test", "Let Acme know that a payment failed"),
    ("acme", "payment-failed/now", "ann@acme.test", "Your payment didn't go through"),
    ("birch", "invoice-overdue/first", "ann@birch.test", "Invoice BIRCH-0007 is still unpaid"),
]
THEN = [
    ("acme", "support-spike/call", "jo@us.test", "Call Acme: 10 urgent or high tickets in 30 days"),
    ("acme", "renewal/review", "jo@us.test", "Hold the business review with Acme before the renewal"),
]


def went(answer: httpx.Response, accepted: int = 1, **others: int) -> None:
    """The webhook was taken, and became this."""
    assert answer.status_code == 200, answer.text
    counts = {"ignored": 0, "unmatched": 0, "rejected": 0, **others}
    assert answer.json() == {"accepted": accepted, **counts}


def money_and_tiers(vendors: Vendors) -> None:
    """By HubSpot Acme is high touch and Birch low. Payments and invoices of all three, each of which may be settled."""
    arr = [
        company("acme", "arr", "60000", after(minutes=1)),
        company("birch", "arr", "12000", after(minutes=1)),
    ]
    went(vendors.hubspot(arr), 2)
    for _ in range(2):
        went(vendors.stripe(invoice("acme", "invoice.payment_failed", after(hours=1))))
    for account in ("birch", "cedar"):
        went(vendors.stripe(invoice(account, "invoice.overdue", after(hours=2))))
    went(vendors.stripe(invoice("cus_nobody", "invoice.overdue", after(hours=2))), 0, unmatched=1)
    went(vendors.stripe(invoice("acme", "invoice.payment_succeeded", after(days=2))))
    went(vendors.stripe(invoice("cedar", "invoice.paid", after(days=2))))


def too_few_tickets(vendors: Vendors) -> None:
    """Nine high ones of Acme, one told twice and one raised to urgent; a normal one; nine high ones of Birch."""
    for number in range(9):
        for account in ("acme", "birch"):
            went(vendors.zendesk(ticket(account, number, after(days=8, minutes=number))))
    went(vendors.zendesk(ticket("acme", 0, after(days=8))))
    went(vendors.zendesk(ticket("acme", 1, after(days=8, hours=1), "priority_changed", "URGENT")))
    went(vendors.zendesk(ticket("acme", 9, after(days=8, hours=2), priority="NORMAL")))
    went(vendors.zendesk(ticket("acme", 9, after(days=8, hours=2), "comment_added")), 0, ignored=1)


def forged(vendors: Vendors) -> list[int]:
    """What somebody else sends is answered so."""
    failed = invoice("cedar", "invoice.payment_failed", after(days=8))
    rich = [company("cedar", "arr", "900000", after(days=8))]
    answers = [
        vendors.stripe(failed, secret="whsec_of_another"),
        vendors.http.post("/v1/hooks/stripe", json=failed),
        vendors.zendesk(ticket("acme", 10, after(days=8)), secret="another"),
        vendors.hubspot(rich, secret="another"),
        vendors.hubspot(rich, host="https://elsewhere.example.com"),
    ]
    return [answer.status_code for answer in answers]


@pytest.mark.timeout(300)
def test_signed_webhooks_make_the_right_mails_and_tasks(server: Server, vendors: Vendors) -> None:
    money_and_tiers(vendors)
    too_few_tickets(vendors)
    assert forged(vendors) == [401] * 5
    server.settle()
    with server.client() as client:
        assert done(client) == SO_FAR
        tiers = {name: client.get(f"/v1/accounts/{name}").json()["tier"] for name in IDS}
        assert tiers == {"acme": "high", "birch": "low", "cedar": "tech"}
        [task] = [one for one in items(client, "/v1/tasks") if one["account"] == "acme"]
        assert task["status"] != "open"  # the payment went through
        [unknown] = items(client, "/v1/unmatched")
        assert unknown["tried"] == [{"way": "external_id", "value": "cus_nobody"}]

    went(vendors.zendesk(ticket("acme", 9, after(days=9), "priority_changed")))
    renewal = (after(days=10) + timedelta(days=120)).date().isoformat()
    went(vendors.hubspot([company("acme", "renewal_date", renewal, after(days=9))]))
    went(vendors.hubspot([company("cedar", "name", "Cedar Ltd", after(days=11))]))
    server.settle()
    with server.client() as client:
        assert done(client) == [*SO_FAR, *THEN]
        assert client.get("/v1/accounts/cedar").json()["name"] == "Cedar Ltd"
