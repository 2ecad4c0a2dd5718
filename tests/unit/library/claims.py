"""The claims that every mail and task of the library makes when it goes out, checked against the customer's life.

A claim is a function of the record and of the mail or task. It says what is untrue, or returns nothing. Claims are
written from the text, not from the rule: anybody who adds a step to a playbook adds its claims here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from babel.dates import format_date

from services.actions.plays.memory_rows import MemoryAction
from tests.unit.library.record import DAY, JSON, Record

USED = ("login", "feature.used", "onboarding.step_completed", "onboarding.finished")
IN_IT = ("login", "feature.used", "project.completed", "connection.made", "onboarding.step_completed")
ACTIVE = (
    *IN_IT, "page", "screen", "onboarding.finished", "integration.connected", "nps.answered", "survey.answered",
    "training.attended", "webinar.attended", "meeting.held", "review.posted",
)  # fmt: skip
DAYS_OF = {"high": 14, "low": 30, "tech": 60}  # days of quiet after which a customer is missed, by tier
LOW, TOP = range(7), range(9, 11)  # scores


class Doing(NamedTuple):
    """A mail or a task that went out, with the trigger of its play."""

    action: MemoryAction
    trigger: JSON
    tier: str
    now: datetime

    @property
    def fired(self) -> datetime:
        """When the rule fired."""
        return datetime.fromisoformat(self.trigger["at"])

    @property
    def begun(self) -> datetime:
        """The time of the event that the trigger shows."""
        return datetime.fromisoformat(self.trigger["event"]["time"])

    @property
    def text(self) -> str:
        """The rendered text; empty if only the fact counts."""
        return " ".join(str(value) for value in self.action.rendered.values() if isinstance(value, str))


Claim = Callable[[Record, Doing], str | None]


def none_since(types: str | tuple[str, ...], since: Callable[[Doing], datetime | None], **more: str) -> Claim:
    """No event of these types came since. `more`: fields that must equal the trigger's (key=data name, who=contact)."""

    def claim(record: Record, doing: Doing) -> str | None:
        data = {more["key"]: doing.trigger["key"]} if "key" in more else {}
        who = doing.trigger["contact"] if "who" in more else None
        found = record.between(types, since(doing), doing.now, who, **data)
        return f"{found[0].type} came on {found[0].time}" if found else None

    return claim


def fired(doing: Doing) -> datetime:
    return doing.fired


def begun(doing: Doing) -> datetime:
    return doing.begun


def ever(_: Doing) -> None:
    return None


def stays(record: Record, doing: Doing) -> str | None:
    """The account is still a customer."""
    return "they have cancelled" if record.left(doing.now) else None


def not_known_to_have_left(record: Record, doing: Doing) -> str | None:
    """A rule about people does not see a cancellation that names nobody: it goes by what the CRM says."""
    return (
        "they have churned"
        if record.attribute("status", doing.now - timedelta(seconds=1)) == "churned"
        else None
    )


def told_the_date(name: str, *, ahead: bool) -> Claim:
    """The text names the date that the account has now, and that date is in the future (or in the past)."""

    def claim(record: Record, doing: Doing) -> str | None:
        value = record.attribute(name, doing.now)
        if value is None:
            return f"there is no {name}"
        date = datetime.fromisoformat(value).replace(tzinfo=UTC)
        if (date > doing.now - DAY) != ahead and abs(date - doing.now) > DAY:
            return f"{name} is {value}"
        said = [format_date(date.date(), form, locale="en_US") for form in ("medium", "long")]
        if any(year in doing.text for year in (" 2026", " 2027")) and not any(
            one in doing.text for one in said
        ):
            return f"{name} is {value}, the text says otherwise: {doing.text[:200]}"
        return None

    return claim


def same_as_when_fired(name: str) -> Claim:
    """An attribute has the value that it had when the rule fired."""

    def claim(record: Record, doing: Doing) -> str | None:
        then, now = record.attribute(name, doing.fired), record.attribute(name, doing.now)
        return f"{name} was {then} and is {now}" if then not in (None, now) else None

    return claim


def never_logged_in(record: Record, doing: Doing) -> str | None:
    found = record.between(USED, None, doing.now)
    return f"{found[0].type} came on {found[0].time}" if found else None


def set_up_stands_still(record: Record, doing: Doing) -> str | None:
    if not record.between(USED, None, doing.now):
        return "nobody has ever been in"
    if record.between("onboarding.finished", None, doing.now):
        return "onboarding is finished"
    return none_since("onboarding.step_completed", begun)(record, doing)


def quiet(record: Record, doing: Doing) -> str | None:
    since = doing.now - timedelta(days=DAYS_OF[doing.tier])
    found = record.between(ACTIVE, since, doing.now)
    return f"{found[-1].type} came on {found[-1].time}" if found else None


def was_away(record: Record, doing: Doing) -> str | None:
    found = record.between(IN_IT, doing.fired - timedelta(days=30), doing.fired)
    return f"{found[-1].type} came on {found[-1].time}" if found else None


def unhappy(record: Record, doing: Doing) -> str | None:
    """The contact's latest score is a low one."""
    return _score(record, doing, LOW)


def happy(record: Record, doing: Doing) -> str | None:
    """The contact's latest score is a top one, and nobody at the account is in trouble."""
    low = [
        one
        for one in record.between("nps.answered", doing.fired - 14 * DAY, doing.now)
        if one.data["score"] in LOW
    ]
    urgent = record.between("ticket.opened", doing.fired - 14 * DAY, doing.now, severity="urgent")
    return _score(record, doing, TOP) or (f"{(low + urgent)[0].type} in between" if low or urgent else None)


def _score(record: Record, doing: Doing, among: range) -> str | None:
    who, upto = doing.trigger["contact"], doing.now + timedelta(microseconds=1)
    if doing.trigger["event"]["type"] != "nps.answered":
        return None
    answers = record.between("nps.answered", None, upto, who)
    return None if answers[-1].data["score"] in among else f"the latest score is {answers[-1].data['score']}"


def busy(record: Record, doing: Doing) -> str | None:
    days = record.days("feature.used", doing.fired - 30 * DAY, doing.fired + timedelta(microseconds=1))
    return None if days >= 20 else f"active on {days} days"


def not_busy(record: Record, doing: Doing) -> str | None:
    days = record.days("feature.used", doing.fired - 30 * DAY, doing.fired)
    return f"active on {days} days" if days >= 20 else None


def champion_gone(record: Record, doing: Doing) -> str | None:
    if record.person(doing.trigger["contact"], doing.now)["active"] is not False:
        return "the champion is there"
    named = [
        one for one in record.between("contact.updated", doing.fired, doing.now)
        if "champion" in one.data.get("roles", [])
    ]  # fmt: skip
    return f"{named[0].contact} is champion since {named[0].time}" if named else None


def seats_in_use(record: Record, doing: Doing) -> float | None:
    seats = record.attribute("seats", doing.fired)
    used = record.between(
        ("login", "feature.used"), doing.fired - 30 * DAY, doing.fired + timedelta(microseconds=1)
    )
    return len({one.contact for one in used}) / seats if seats else None


def seats_empty(record: Record, doing: Doing) -> str | None:
    share = seats_in_use(record, doing)
    return None if share is not None and share <= 0.6 else f"{share} of the seats are in use"


def growing(record: Record, doing: Doing) -> str | None:
    if doing.trigger["rule"] == "expansion-pricing":
        return (
            None
            if len(record.between("page", doing.fired - 7 * DAY, doing.now + timedelta(microseconds=1))) >= 3
            else "few pages were read"
        )
    share = seats_in_use(record, doing)
    return None if share is not None and share >= 0.85 else f"{share} of the seats are in use"


def few_features(record: Record, doing: Doing) -> str | None:
    entitled = record.attribute("features_entitled", doing.fired)
    used = {
        one.data["feature"] for one in record.between("feature.used", doing.fired - 90 * DAY, doing.fired)
    }
    return None if len(used) <= 0.2 * entitled else f"{len(used)} of {entitled} features are in use"


def less_use(record: Record, doing: Doing) -> str | None:
    recent = len(record.between("feature.used", doing.fired - 28 * DAY, doing.fired))
    before = len(record.between("feature.used", doing.fired - 84 * DAY, doing.fired - 28 * DAY))
    return None if before >= 190 and recent * 2 <= before * 0.81 else f"{recent} uses after {before}"


def many_tickets(record: Record, doing: Doing) -> str | None:
    found = record.between("ticket.opened", doing.fired - 30 * DAY, doing.fired + timedelta(microseconds=1))
    serious = [one for one in found if one.data["severity"] in ("high", "urgent")]
    return None if len(serious) >= doing.trigger["value"] >= 10 else f"{len(serious)} tickets"


def outages_hit(record: Record, doing: Doing) -> str | None:
    found = record.between("outage.started", doing.fired - 30 * DAY, doing.fired + timedelta(microseconds=1))
    return None if len(found) >= doing.trigger["value"] >= 2 else f"{len(found)} outages"


def sick(record: Record, doing: Doing) -> str | None:
    health = record.attribute("health", doing.now)
    return None if health < 50 else f"health is {health}"


def enough_connections(record: Record, doing: Doing) -> str | None:
    found = {
        one.data["peer"]
        for one in record.between("connection.made", None, doing.now + timedelta(microseconds=1))
    }
    return None if len(found) >= doing.trigger["value"] >= 7 else f"{len(found)} connections"


def anniversary_or_projects(record: Record, doing: Doing) -> str | None:
    if doing.trigger["rule"] == "usage-milestone":
        done = record.between("project.completed", None, doing.now + timedelta(microseconds=1))
        return None if len(done) >= 100 else f"{len(done)} projects"
    date = datetime.fromisoformat(record.attribute("contract_date", max(doing.fired, doing.now)))
    near = min(abs((doing.fired.replace(tzinfo=None) - date).days - 365.25 * years) for years in range(1, 5))
    return None if near < 3 else f"the contract began on {date}"


CLAIMS: dict[str, dict[str, tuple[Claim, ...]]] = {  # playbook -> step ("*": every step) -> claims
    "support-spike": {"*": (many_tickets,), "causes": (none_since("meeting.held", fired),)},
    "outages": {
        "*": (outages_hit,),
        "report": (none_since("postmortem.shared", fired),),
        "steady": (none_since("outage.started", fired),),
    },
    "invoice-overdue": {"*": (none_since(("invoice.paid", "invoice.voided"), ever, key="invoice"),)},
    "not-logged-in": {"*": (never_logged_in, none_since("trial.expired", ever), stays)},
    "gone-quiet": {"*": (quiet, stays)},
    "usage-decline": {"*": (less_use, stays), "plan": (none_since("meeting.held", fired),)},
    "renewal": {
        "*": (
            told_the_date("renewal_date", ahead=True), same_as_when_fired("renewal_date"),
            none_since("subscription.renewed", lambda doing: doing.fired - 30 * DAY), stays,
        ),
    },
    "business-review": {
        "*": (none_since("business_review.held", fired), same_as_when_fired("contract_date"), stays),
    },
    "feature-unused": {"*": (none_since("feature.used", begun, key="feature", who="contact"), not_known_to_have_left)},
    "true-north": {
        "*": (enough_connections, stays),
        "story": (none_since(("story.agreed", "outage.started"), fired),),
    },
    "consumption-gap": {
        "*": (few_features, stays),
        "date": (none_since(("training.attended", "webinar.attended"), fired),),
    },
    "watermelon": {"*": (unhappy, busy), "answer": (none_since("meeting.held", fired),)},
    "nps-detractor": {"*": (unhappy, not_busy), "tell": (none_since("meeting.held", fired),)},
    "advocate": {"*": (happy, none_since(("review.posted", "reference.given"), fired), stays)},
    "champion-left": {"*": (champion_gone, stays)},
    "seats-unused": {
        "*": (seats_empty, none_since("seats.changed", fired), stays),
        "plan": (none_since("meeting.held", fired),),
    },
    "expansion": {
        "*": (growing, none_since(("seats.changed", "subscription.upgraded", "opportunity.opened"), fired), stays),
    },
    "onboarding-stalled": {"*": (set_up_stands_still, none_since("trial.expired", ever), stays)},
    "health-drop": {"*": (sick, stays)},
    "integration-broken": {
        "*": (none_since(("integration.connected", "integration.removed"), begun, key="integration"), stays),
    },
    "payment-failed": {"*": (none_since("payment.succeeded", fired), stays)},
    "trial-ending": {
        "*": (none_since("subscription.started", ever), same_as_when_fired("trial_ends"), stays),
        "call": (told_the_date("trial_ends", ahead=True),), "decide": (told_the_date("trial_ends", ahead=True),),
        "mail": (told_the_date("trial_ends", ahead=True),), "soon": (told_the_date("trial_ends", ahead=True),),
        "over": (told_the_date("trial_ends", ahead=False),),
    },
    "milestone": {"*": (anniversary_or_projects, stays), "wish": (none_since("meeting.held", fired),)},
    "win-back": {
        "*": (was_away, stays),
        "call": (none_since(IN_IT, fired),), "stay": (none_since(IN_IT, fired),), "pool": (none_since(IN_IT, fired),),
    },
}  # fmt: skip


def untrue(record: Record, doing: Doing) -> Iterator[str]:
    """The claims of a mail or task that do not hold when it goes out, in words."""
    claims = CLAIMS[doing.action.playbook]
    for claim in (*claims["*"], *claims.get(doing.action.step, ())):
        if (wrong := claim(record, doing)) is not None:
            yield wrong


class Clash(NamedTuple):
    """Two things that must not be said to one customer within a number of days of each other."""

    why: str
    one: frozenset[str]  # playbooks, or playbook/step
    other: frozenset[str]
    days: float
    ordered: bool = False  # only if `other` comes after `one`


def _set(*names: str) -> frozenset[str]:
    return frozenset(names)


TROUBLE = _set("support-spike", "outages", "nps-detractor", "watermelon", "health-drop")
FAVOUR = _set("advocate", "true-north/story")
LESS = _set("usage-decline", "seats-unused", "consumption-gap")
BEGINNING = _set("onboarding-stalled", "not-logged-in")
CLASHES = (
    Clash("nobody has been in / you are in and stuck", _set("not-logged-in"), _set("onboarding-stalled"), 2),
    Clash(
        "you have been here / nobody has ever been in",
        _set("onboarding-stalled", "gone-quiet", "win-back", "expansion", "usage-decline", "true-north"),
        _set("not-logged-in"), 400, ordered=True,
    ),
    Clash("nobody has been in / we miss you", _set("not-logged-in"), _set("gone-quiet", "win-back"), 2),
    Clash("good to see you / nobody has been here", _set("win-back"), _set("gone-quiet"), 14, ordered=True),
    Clash("you use us a lot / nobody has been here", _set("watermelon"), _set("gone-quiet"), 7),
    Clash("you need more room / you use too little", _set("expansion"), LESS, 28),
    Clash("nobody has been here / you need more room", _set("gone-quiet"), _set("expansion"), 14, ordered=True),
    Clash("we have let you down / do us a favour", TROUBLE, FAVOUR, 14, ordered=True),
    Clash("we have let you down / buy more", TROUBLE, _set("expansion"), 14, ordered=True),
    Clash("well done / you are stuck", _set("true-north"), _set("onboarding-stalled"), 3),
    Clash("your trial is over / get started", _set("trial-ending/over"), BEGINNING, 60, ordered=True),
    Clash("my last mail about this / another one", _set("gone-quiet/last"), _set("gone-quiet"), 14, ordered=True),
    Clash("I won't keep asking / again", _set("onboarding-stalled/last"), _set("onboarding-stalled"), 14, ordered=True),
    Clash("my last mail / another one", _set("payment-failed/day-7"), _set("payment-failed"), 14, ordered=True),
)  # fmt: skip


def named(doing: Doing) -> frozenset[str]:
    """The names by which clashes refer to a mail or task."""
    return frozenset((doing.action.playbook, f"{doing.action.playbook}/{doing.action.step}"))


def clashing(doings: list[Doing]) -> Iterator[tuple[Clash, Doing, Doing]]:
    """The pairs that contradict each other among the mails and tasks of one customer, given in order of time."""
    for place, second in enumerate(doings):
        for first in doings[:place]:
            apart = (second.now - first.now) / DAY
            for clash in CLASHES:
                forth = named(first) & clash.one and named(second) & clash.other
                back = not clash.ordered and named(first) & clash.other and named(second) & clash.one
                if apart <= clash.days and (forth or back) and first.action.id != second.action.id:
                    yield clash, first, second
