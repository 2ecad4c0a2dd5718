"""Columns by which lists are filtered and sorted: addresses in a form that compares, and the urgency of a priority."""

import re
from functools import lru_cache

from sqlalchemy import ColumnElement

from schemas.addresses import normal
from schemas.names import fitting
from schemas.profile import Profile
from services.actions.channels import CHANNELS

LONGEST, READ = 320, 1_000  # how many characters of an address are compared, and how many are read
UNKNOWN_WORD, NO_WORD = 50, 99
# A task's priority is any word that a team uses. These words have an order, and so have P0, P1, …; others come last.
_WORDS = {
    **dict.fromkeys(("critical", "urgent", "highest", "blocker"), 0),
    "high": 1,
    **dict.fromkeys(("medium", "normal"), 2),
    "low": 3,
    "lowest": 4,
}
_NUMBERED = re.compile(r"p([0-9])")


@lru_cache(4_096)
def address(text: str | None) -> str | None:
    """An address in the form that compares: the same for every case and every way of writing it."""
    return None if text is None else fitting(normal(text[:READ]), LONGEST)


def recipient(text: str | None, channel: str) -> str | None:
    """An action's recipient in the form that compares: an address, or the name of an endpoint."""
    return fitting(text, LONGEST) if CHANNELS[channel].to_endpoints else address(text)


def is_for(addressee: ColumnElement[str], wanted: str) -> ColumnElement[bool]:
    """Whether this column holds the wanted recipient: an address, or the name of an endpoint."""
    return addressee.in_({address(wanted), fitting(wanted, LONGEST)})


def owner(profile: Profile) -> str | None:
    """The address of an account's owner in the form that compares."""
    return None if profile.owner is None else address(profile.owner.email)


def urgency(priority: str | None) -> int:
    """A priority's place in a list: the most urgent first, then words without an order, then no priority at all."""
    if not priority:
        return NO_WORD
    word = priority.strip().lower()
    numbered = _NUMBERED.fullmatch(word)
    return int(numbered[1]) if numbered else _WORDS.get(word, UNKNOWN_WORD)
