"""Finds what is probably wrong with the sending policy and the playbooks together: mails that never go out, and topics
that no playbook has."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from schemas.duration import parse_duration
from schemas.event import DAY_US
from schemas.lint.mail_times import MailTime
from schemas.lint.outline import PlaybookOutline
from schemas.lint.similar_names import alike
from schemas.lint.together import Finding, SharedWarning
from schemas.policy import Cap, PolicyDoc, minutes
from schemas.tiered import TIERS, for_tier

POLICY = "policy"  # kind and name
_MINUTE_US = 60_000_000


def lint_held_mails(policy: PolicyDoc, books: Iterable[PlaybookOutline]) -> Iterator[Finding]:
    """The warnings about mails of these playbooks that the policy never lets begin."""
    for book in books:
        yield from _capped(policy, book)
        yield from _at_midnight(policy, book)
        yield from _outside_hours(policy, book)


def lint_topics(policy: PolicyDoc, books: Mapping[str, PlaybookOutline]) -> Iterator[Finding]:
    """The warnings about excepted topics that none of all playbooks has. Without playbooks nobody can tell."""
    known = {book.topic for book in books.values()}
    for where, topics in _excepted(policy):
        for place, topic in enumerate(topics):
            if known and topic not in known:
                other = alike(topic, known)
                near = "" if other is None else f"; {other} is one"
                doubt = f"no playbook has the topic {topic}{near}"
                yield (SharedWarning(POLICY, POLICY, {"field": f"{where}.{place}", "message": doubt}),)


def _excepted(policy: PolicyDoc) -> Iterator[tuple[str, Sequence[str]]]:
    if policy.hours is not None:
        yield "hours.except_topics", policy.hours.except_topics
    for place, cap in enumerate(policy.caps):
        yield f"caps.{place}.except_topics", cap.except_topics


def _capped(policy: PolicyDoc, book: PlaybookOutline) -> Iterator[Finding]:
    """Warns of mails that the mails before them in the same play always leave without room."""
    told: set[str] = set()
    for tier in TIERS if policy.caps else ():
        mails = [mail for mail in book.mails if mail.tier in {None, tier}]
        caps = {
            place: cap
            for place, cap in enumerate(policy.caps)
            if cap.covers(book.topic, tier) and for_tier(cap.at_most, tier) > 0
        }
        for mail, place in _without_room(policy, caps, mails, tier):
            if mail.path not in told:
                told.add(mail.path)
                why = f"the mails of the play before it leave no room under caps.{place}"
                here = f"never goes out in the tier {tier}: {why}"
                there = f"the mail {mail.path} of {book.name} never goes out in the tier {tier}: {why}"
                yield _both(book, mail.path, here, f"caps.{place}", there)


def _without_room(
    policy: PolicyDoc, caps: Mapping[int, Cap], mails: Sequence[MailTime], tier: str
) -> Iterator[tuple[MailTime, int]]:
    """The mails of one play that are skipped though no other play mails, each with the cap that is full.

    Hours do not help: a mail that they hold back moves those behind it too.
    """
    begun: list[int] = []
    before: MailTime | None = None  # the last that began
    for mail in mails:
        if before is not None and before.dates != mail.dates:
            begun, before = [], None  # nobody knows how long the wait for the date is
        due = mail.at if before is None else begun[-1] + mail.at - before.at
        last = due + parse_duration(policy.wait_at_most)
        last = last if mail.within is None else min(last, mail.at + mail.within)
        at, full = _room(caps, begun, due, tier)
        if full is not None and at > last:
            yield mail, full
        elif at <= last:
            begun.append(at)
            before = mail


def _room(caps: Mapping[int, Cap], begun: Sequence[int], at: int, tier: str) -> tuple[int, int | None]:
    """The first moment from `at` on with room under every cap, and the cap that held it back last."""
    full = None
    while True:
        for place, cap in caps.items():
            within, most = parse_duration(cap.within), for_tier(cap.at_most, tier)
            if len(begun) >= most and begun[-most] > at - within:
                at, full = begun[-most] + within, place
                break
        else:
            return at, full


def _at_midnight(policy: PolicyDoc, book: PlaybookOutline) -> Iterator[Finding]:
    """Warns of mails right at a date that are given up before the hours of that day begin."""
    hours = policy.hours
    if hours is None or book.topic in hours.except_topics:
        return
    opens = minutes(hours.from_) * _MINUTE_US
    for mail in book.mails:
        if mail.dates and mail.at % DAY_US == 0 and mail.within is not None and mail.within < opens:
            why = f"a date without a time is midnight, and the hours begin at {hours.from_}"
            there = f"{book.name} gives up its mail {mail.path} before: {why}"
            yield _both(book, f"{mail.path}.within", f"is too short: {why}", "hours.from", there)


def _outside_hours(policy: PolicyDoc, book: PlaybookOutline) -> Iterator[Finding]:
    """Warns of digests whose time, or days, the hours of the policy never meet: each of them waits."""
    hours = policy.hours
    if hours is None or book.topic in hours.except_topics:
        return
    for digest in book.digests:
        if not minutes(hours.from_) <= minutes(digest.at) < minutes(hours.to):
            field, of_policy = "at", "hours.from" if digest.at < hours.from_ else "hours.to"
            why = f"the hours are {hours.from_} to {hours.to}, so that it always waits until they begin"
        elif set(digest.days).isdisjoint(hours.days):
            field, of_policy = "days", "hours.days"
            why = (
                f"mails begin on {', '.join(hours.days)} only, so that it always waits for one of these days"
            )
        else:
            continue
        there = f"never meets the digest {digest.path} of {book.name}: {why}"
        yield _both(
            book, f"{digest.path}.{field}", f"never meets the sending policy: {why}", of_policy, there
        )


def _both(book: PlaybookOutline, field: str, here: str, of_policy: str, there: str) -> Finding:
    """One warning, as the playbook and as the policy has it."""
    return (
        SharedWarning("playbook", book.name, {"field": field, "message": here}),
        SharedWarning(POLICY, POLICY, {"field": of_policy, "message": there}),
    )
