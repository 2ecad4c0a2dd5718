"""What the tier policy and the sending policy say, in words, made from the document. Pure.

tiers(document)    An account is high touch if account.attributes.arr is at least 50,000. All others are tech touch. …
policy(document)   Mails to contacts begin from 08:00 to 18:00, Monday to Friday, by the clock of their reader. …
"""

from collections.abc import Sequence
from itertools import pairwise

from schemas.policy import WEEK, Cap, Hours, PolicyDoc, Weekday
from schemas.rule import TiersDoc
from schemas.sentences.conditions import in_words
from schemas.sentences.of_playbooks import DAYS
from schemas.sentences.of_rules import tiered
from schemas.sentences.wording import capital, counted, listed, span
from schemas.tier_policy import DEFAULT_TIER

_OWN = "A tier that an account was given itself goes first."
_MOST_DATES = 10  # of holidays that are named


def tiers(document: TiersDoc) -> str:
    """Which accounts are in which tier."""
    said, closed = [], False
    for place, entry in enumerate(document.tiers):
        if closed:
            break
        if entry.where is None:
            closed = True
            who = "Every account is" if place == 0 else "All others are"
            said.append(f"{who} {entry.tier} touch.")
        else:
            otherwise = "An account is" if place == 0 else "Otherwise it is"
            said.append(f"{otherwise} {entry.tier} touch if {in_words(entry.where)}.")
    if not closed:
        said.append(f"{'All others are' if said else 'Every account is'} {DEFAULT_TIER} touch.")
    return " ".join([*said, _OWN])


def policy(document: PolicyDoc) -> str:
    """When mails to contacts may begin, and how many."""
    zone = document.timezone or "UTC"
    said = [_hours(document.hours), *_holidays(document), *(_cap(cap) for cap in document.caps)]
    if not document.caps:
        said.append("There is no limit to how many somebody gets.")
    said.append(
        f"A mail that cannot begin waits for at most {span(document.wait_at_most)}, and is skipped then."
    )
    said.append(f"Where neither the contact nor the account has a time zone, that of {zone} counts.")
    return " ".join(said)


def _hours(hours: Hours | None) -> str:
    if hours is None:
        return "Mails to contacts may begin at any hour."
    when = f"from {hours.from_} to {hours.to}, {_days(hours.days)}"
    said = f"Mails to contacts begin {when}, by the clock of their reader"
    if hours.except_topics:
        said += f"; those about {listed(hours.except_topics, 'or')} begin at any hour, on any day"
    return f"{said}."


def _days(days: Sequence[Weekday]) -> str:
    """`every day`, `Monday to Friday`, `Monday, Tuesday and Sunday`."""
    places = sorted(WEEK.index(day) for day in days)
    if len(places) == len(WEEK):
        return "every day"
    names = [DAYS[WEEK[place]] for place in places]
    together = all(later == earlier + 1 for earlier, later in pairwise(places))
    return f"{names[0]} to {names[-1]}" if together and len(names) > 2 else f"on {listed(names)}"


def _holidays(document: PolicyDoc) -> list[str]:
    dates = sorted(document.holidays)
    if not dates:
        return []
    more = len(dates) - _MOST_DATES
    named = [*dates[:_MOST_DATES], f"{counted(more, 'other date')}"] if more > 0 else dates
    return [f"None begins on {listed(named, 'and' if more > 0 else 'or')}."]


def _cap(cap: Cap) -> str:
    who = "one address" if cap.per == "address" else "all contacts of one account"
    said = f"At most {tiered(cap.at_most, lambda n: counted(n, 'mail'))} to {who} begin in any {span(cap.within)}"
    if cap.except_topics:
        said += f", not counting those about {listed(cap.except_topics, 'or')}"
    return f"{capital(said)}."
