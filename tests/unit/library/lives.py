"""Ordinary lives of a few hundred customers, made from one seed. A life is a list of events in order of time.

Nothing here knows the library. Customers sign up and log in or do not, set up and get stuck, use us daily or hardly,
go on holiday, open tickets, pay late, answer surveys, renew early, extend their trial, leave. Events that belong
together come together: a customer who leaves stops using us, and after a renewal the date moves, sooner or later. The
rest is independent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from schemas.event import Event

JSON = dict[str, Any]
BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
DAYS = 240
FEATURES = ("csv_export", "reports", "alerts", "api", "maps", "forms", "audit_log", "sso", "teams", "mobile")
RELEASES = {"csv_export": 20, "maps": 75, "audit_log": 150}  # by feature, the day of its release
OUTAGES = (12, 26, 33, 90, 140, 146, 152, 153, 205)  # days
ZONES = ("Europe/London", "America/New_York", "Asia/Tokyo", None)
NAMES = ("Ann Lee", "Bob May", "Cleo Diaz", "Dev Patel", "Eve Orr", "Finn Roe", None)


@dataclass
class Life:
    """One customer: the facts known at the beginning, and the events of the life."""

    id: str
    tier: str
    rnd: Random
    born: float  # day of the first event
    people: list[str]
    attributes: JSON
    gone: float = DAYS  # the day on which the customer leaves
    busy: float = 1.0  # sessions a day
    events: list[Event] = field(default_factory=list)

    def add(
        self, day: float, type_: str, contact: str | None = None, source: str = "app", **data: Any
    ) -> None:
        """Add an event on a day (a fraction gives the time of day), unless the day is outside the span of all lives."""
        if 0 <= day < DAYS:
            time = BEGIN + timedelta(seconds=round(day * 86_400))
            name = f"{self.id}.{len(self.events)}"
            self.events.append(
                Event(
                    id=name, source=source, type=type_, account=self.id, contact=contact, time=time, data=data
                )
            )

    def some(self, low: float, high: float) -> float:
        """A random day between two days."""
        return self.rnd.uniform(low, high)

    def chance(self, share: float) -> bool:
        """Whether something with this chance happens."""
        return self.rnd.random() < share

    def date(self, day: float) -> str:
        """The date of a day."""
        return (BEGIN + timedelta(days=day)).date().isoformat()


def lives(count: int, seed: int) -> list[Life]:
    """A number of customers; one seed always makes the same customers."""
    return [_life(number, Random(f"{seed}/{number}")) for number in range(count)]


def _life(number: int, rnd: Random) -> Life:
    tier = rnd.choices(("high", "low", "tech"), (25, 35, 40))[0]
    people = [f"p{place}" for place in range(rnd.randint(1, 5))]
    life = Life(f"c{number}", tier, rnd, rnd.uniform(0, 1), people, {})
    life.busy = rnd.choices((0.05, 0.15, 0.4, 1.3), (35, 37, 20, 8))[0]
    new = life.chance(0.45)
    _known(life, new=new)
    if life.chance(0.2):
        life.gone = life.some(60, DAYS)
    (_newcomer if new else _regular)(life)
    for part in PARTS:
        part(life)
    if life.gone < DAYS:
        life.add(life.gone, "subscription.cancelled", source="billing")
        life.add(
            life.gone + life.some(0, 3), "account.updated", source="crm", attributes={"status": "churned"}
        )
    life.events = [one for one in life.events if _alive(life, one)]
    life.events.sort(key=lambda one: one.time or BEGIN)
    return life


def _alive(life: Life, event: Event) -> bool:
    """Whether an event can still happen: a customer who has left does nothing, but bills and our own posts may come."""
    day = ((event.time or BEGIN) - BEGIN).total_seconds() / 86_400
    return day <= life.gone or event.source != "app"


def _known(life: Life, *, new: bool) -> None:
    rnd = life.rnd
    contacts = []
    for place, who in enumerate(life.people):
        roles = [["admin", "champion"], ["admin", "power_user"], ["champion"], ["member"], []][place]
        name = rnd.choice(NAMES)
        contacts.append(
            {"id": who, "email": f"{who}@{life.id}.test", "roles": roles} | ({"name": name} if name else {})
        )
    life.attributes = {
        "seats": rnd.choice((2, 4, 6, 10, 20)),
        "features_entitled": rnd.choice((4, 8, 20, 30)),
        "health": rnd.randint(45, 95),
    }
    body: JSON = {"tier": life.tier, "contacts": contacts}
    if life.chance(0.9):
        body["owner"] = {"name": "Jo Park", "email": "jo@us.test"}
    if life.chance(0.8):
        body["name"] = f"Firm {life.id}"
    if (zone := rnd.choice(ZONES)) is not None:
        body["timezone"] = zone
    if new:
        life.born = life.some(1, 120)
        if life.chance(0.7):
            life.attributes["trial_ends"] = life.date(life.born + 14)
    else:
        since = rnd.randint(20, 900)
        life.attributes["contract_date"] = life.date(-since)
        life.attributes["renewal_date"] = life.date(365 - since % 365)
    life.add(life.born, "account.updated", source="crm", **body, attributes=life.attributes)


# -- how lives begin


def _newcomer(life: Life) -> None:
    """Signs up, logs in soon, late or never, sets up, gets stuck or finishes; the trial ends, is extended or pays."""
    who = life.people[0]
    life.add(life.born + 0.01, "account.signed_up", who)
    first = life.rnd.choices((life.some(0.02, 0.5), life.some(4, 14), None), (65, 20, 15))[0]
    if first is not None and life.chance(0.1):
        first = 0.005  # logged in by signing up, a moment before the sign-up is reported
    end = _trial(life)
    if first is None:
        return
    life.add(life.born + first, "login", who)
    day = life.born + first
    for step in range(life.rnd.randint(0, 5)):
        day += life.rnd.choices((life.some(0.1, 2), life.some(5, 20)), (75, 25))[0]
        if end is not None and day >= end:
            return
        life.add(day, "onboarding.step_completed", who, step=f"s{step}")
        if life.chance(0.3):
            life.add(day + 0.1, "integration.connected", who, integration="google_sheets")
    if life.chance(0.55):
        life.add(day + life.some(0.1, 3), "onboarding.finished", who)
    for peer in range(life.rnd.choices((0, 3, 9), (50, 30, 20))[0]):
        life.add(
            min(life.born + first + life.some(0, 16), end or DAYS), "connection.made", who, peer=f"x{peer}"
        )
    _use(life, life.born + first, min(life.gone, end or life.some(30, DAYS)))


def _trial(life: Life) -> float | None:
    """The day on which the trial ends for good; None if it became a subscription or there was none."""
    if "trial_ends" not in life.attributes:
        return None
    end = life.born + 14
    if life.chance(0.3):
        told = end - life.rnd.choice((0.3, 2, 5, 9))
        end += 21
        life.add(told, "account.updated", source="crm", attributes={"trial_ends": life.date(end)})
    if life.chance(0.55):
        life.add(end - life.some(0.2, 12), "subscription.started", source="billing")
        return None
    if life.chance(0.2):
        life.gone = min(life.gone, end - life.some(0.2, 12))
    life.add(end, "trial.expired", source="billing")
    return end


def _regular(life: Life) -> None:
    """Has been with us for a while, and uses us steadily, with pauses, or less and less."""
    day = life.born
    while day < life.gone:
        stop = min(day + life.some(30, 150), life.gone)
        _use(life, day, stop)
        if life.chance(0.3):
            life.busy = max(0.03, min(1.3, life.busy * life.rnd.choice((0.3, 0.6, 1.5))))
        day = stop + life.rnd.choices((0, life.some(5, 20), life.some(25, 80)), (60, 20, 20))[0]


def _use(life: Life, begin: float, end: float) -> None:
    """Add sessions of the people: usually a login, and some use of some features."""
    mine = life.rnd.sample(FEATURES, life.rnd.randint(1, 6))
    day = begin
    while True:
        day += life.rnd.expovariate(life.busy)
        if day >= min(end, DAYS):
            return
        who = life.rnd.choice(life.people)
        if life.chance(0.8):
            life.add(day, "login", who)
        if life.chance(0.2):
            life.add(
                day + 0.001, "page", who, name=life.rnd.choice(("Home", "Pricing", "Pricing plans", "Docs"))
            )
        for number in range(life.rnd.randint(0, max(1, round(life.busy * 6)))):
            life.add(day + 0.002 * (number + 1), "feature.used", who, feature=life.rnd.choice(mine))
        for number in range(round(life.busy) if life.chance(0.7) else 0):
            life.add(day + 0.1 + number * 0.01, "project.completed", who)


# -- events that may happen to anybody


def _tickets(life: Life) -> None:
    for _ in range(life.rnd.randint(0, 6)):
        life.add(
            life.some(life.born, DAYS),
            "ticket.opened",
            life.rnd.choice(life.people),
            severity=life.rnd.choice(("low", "high", "urgent")),
        )
    if life.chance(0.12):
        day = life.some(life.born, DAYS)
        for _ in range(life.rnd.randint(8, 45)):
            life.add(
                day + life.some(0, 20),
                "ticket.opened",
                life.rnd.choice(life.people),
                severity=life.rnd.choice(("high", "urgent")),
            )


def _outages(life: Life) -> None:
    for number, day in enumerate(OUTAGES):
        if day > life.born and life.chance(0.6):
            life.add(day + life.some(0, 0.2), "outage.started", source="status", outage=f"o{number}")
            if life.chance(0.4):
                life.add(day + life.some(2, 15), "postmortem.shared", source="status")


def _money(life: Life) -> None:
    """A bill every month, paid in time, late, or taken back; or a card that is charged, and may fail several times."""
    card = life.chance(0.5)
    for number, day in enumerate(range(int(life.born) + 10, DAYS, 30)):
        if card:
            if life.chance(0.15):
                fails = life.rnd.randint(1, 4)
                for at in range(fails):
                    life.add(day + (0, 1, 4, 9)[at], "payment.failed", source="billing", amount=49.0)
                if life.chance(0.8):
                    life.add(
                        day + (0, 1, 4, 9)[fails - 1] + life.some(0.5, 8),
                        "payment.succeeded",
                        source="billing",
                    )
            else:
                life.add(day, "payment.succeeded", source="billing", amount=49.0)
        elif life.chance(0.25):
            life.add(day, "invoice.overdue", source="billing", invoice=f"i{number}")
            ends = life.rnd.choices(("invoice.paid", "invoice.voided", None), (75, 10, 15))[0]
            if ends is not None:
                life.add(day + life.some(0.5, 45), ends, source="billing", invoice=f"i{number}")
        else:
            life.add(day - 5, "invoice.paid", source="billing", invoice=f"i{number}")


def _contract(life: Life) -> None:
    """Renews early or on the day, and moves the date at once or days later; or says nothing and the date moves."""
    date = life.attributes.get("renewal_date")
    if date is None:
        return
    day = (datetime.fromisoformat(date).replace(tzinfo=UTC) - BEGIN).days
    moved = life.date(day + 365)
    at = day - life.rnd.choice((0, 3, 20, 50, 62, 80, 92, 110, 122)) - life.some(0.1, 0.9)
    if life.chance(0.6):
        life.add(at, "subscription.renewed", source="billing")
        life.add(at + life.some(0, 12), "account.updated", source="crm", attributes={"renewal_date": moved})
    elif life.chance(0.5):
        life.add(
            at, "account.updated", source="crm", attributes={"renewal_date": moved, "contract_date": date}
        )
    if life.chance(0.5):
        life.add(life.some(life.born, DAYS), "business_review.held", life.people[0])


def _surveys(life: Life) -> None:
    mood = life.rnd.choice((3, 6, 8, 9))
    for day in (40, 100, 170):
        for who in life.people:
            if day > life.born and life.chance(0.35):
                score = max(0, min(10, mood + life.rnd.randint(-3, 3)))
                more = {"comment": "Too many clicks."} if life.chance(0.4) else {}
                life.add(day + life.some(0, 6), "nps.answered", who, score=score, **more)
    if life.chance(0.15):
        life.add(
            life.some(life.born, DAYS),
            life.rnd.choice(("review.posted", "reference.given", "survey.answered")),
            life.people[0],
        )


def _features(life: Life) -> None:
    for feature, day in RELEASES.items():
        if day > life.born:
            more = {"name": feature.replace("_", " ").title()} if life.chance(0.5) else {}
            life.add(day + 0.4, "feature.released", source="product", feature=feature, **more)


def _people(life: Life) -> None:
    """A champion leaves, and another is named or not; people change roles."""
    if life.chance(0.2) and len(life.people) > 1:
        day = life.some(life.born + 20, DAYS)
        life.add(day, "contact.updated", life.people[0], source="crm", active=False)
        if life.chance(0.5):
            life.add(
                day + life.some(1, 25),
                "contact.updated",
                life.people[1],
                source="crm",
                roles=["admin", "champion"],
            )


def _account(life: Life) -> None:
    """Health goes up and down, seats are bought or given back, an integration breaks."""
    health = life.attributes["health"]
    for day in range(int(life.born) + 7, DAYS, 14):
        health = max(5, min(100, health + life.rnd.randint(-15, 15)))
        life.add(day + life.some(0, 3), "account.updated", source="crm", attributes={"health": health})
    if life.chance(0.2):
        day, seats = life.some(life.born + 30, DAYS), life.rnd.choice((2, 5, 12))
        life.add(day, "seats.changed", source="billing", seats=seats)
        life.add(day + 0.01, "account.updated", source="crm", attributes={"seats": seats})
    for name in ("salesforce", "google_sheets"):
        if life.chance(0.2):
            day = life.some(life.born, DAYS)
            life.add(day, "integration.disconnected", source="app", integration=name)
            end = life.rnd.choices(("integration.connected", "integration.removed", None), (60, 20, 20))[0]
            if end is not None:
                life.add(day + life.some(0.1, 20), end, source="app", integration=name)


def _meetings(life: Life) -> None:
    for _ in range(life.rnd.choices((0, 1, 4), (50, 30, 20))[0]):
        type_ = life.rnd.choice(
            (
                "meeting.held",
                "meeting.held",
                "training.attended",
                "webinar.attended",
                "opportunity.opened",
                "story.agreed",
            )
        )
        life.add(life.some(life.born, DAYS), type_, life.rnd.choice(life.people))


PARTS: tuple[Callable[[Life], None], ...] = (
    _tickets, _outages, _money, _contract, _surveys, _features, _people, _account, _meetings,
)  # fmt: skip
