"""When the mails of a play, and its digests, are due, as far as its playbook alone says."""

from collections.abc import Iterator

import msgspec

from schemas.channels.base import is_internal
from schemas.duration import parse_duration
from schemas.playbook import PlaybookIn, Step, WaitDate, WaitEvent
from schemas.playbook_texts import step_lists, steps_of, tier_of
from schemas.policy import WEEK

TO_CONTACT = "contact"  # one recipient, for whom the sending policy holds


class MailTime(msgspec.Struct, frozen=True, array_like=True):
    """An email step to the play's contact that stands in no branch.

    `at`: microseconds after the play's beginning, or after the last wait for a date, at the latest: a wait that an
    event may end counts in full, and of a branch the way that waits longer. `dates`: the number of such waits before.
    """

    path: str
    tier: str | None  # None: all
    at: int
    dates: int = 0
    within: int | None = None


class DigestTime(msgspec.Struct, frozen=True, array_like=True):
    """A digest for contacts: the time of day and the days on which it goes out."""

    path: str
    at: str
    days: list[str]


def digest_times(body: PlaybookIn) -> Iterator[DigestTime]:
    """The digests for which the sending policy holds."""
    for path, step in steps_of(body):
        if step.digest is not None and not is_internal(step.digest.to):
            yield DigestTime(f"{path}.digest", step.digest.at, list(step.digest.days or WEEK))


def mail_times(body: PlaybookIn) -> Iterator[MailTime]:
    """The email steps to the play's contact, in order, tier by tier."""
    for path, steps in step_lists(body):
        at = dates = 0
        for place, step in enumerate(steps):
            if _waits_for_date([step]):
                at, dates = 0, dates + 1
            at += _longest([step])
            if step.email is not None and step.email.to == TO_CONTACT:
                within = getattr(step.email, "within", None)
                patience = None if within is None else parse_duration(within)
                yield MailTime(f"{path}.{place}.email", tier_of(f"{path}.{place}"), at, dates, patience)


def _longest(steps: list[Step]) -> int:
    """How long these steps wait at most, from the last date that they wait for."""
    longest = 0
    for step in steps:
        if isinstance(step.wait, str):
            longest += parse_duration(step.wait)
        elif isinstance(step.wait, WaitEvent):
            longest += parse_duration(step.wait.for_)
        elif isinstance(step.wait, WaitDate):
            longest = 0
        elif step.branch is not None:
            longest += max(_longest(step.branch.then), _longest(step.branch.else_))
    return longest


def _waits_for_date(steps: list[Step]) -> bool:
    return any(
        isinstance(step.wait, WaitDate)
        or (step.branch is not None and _waits_for_date([*step.branch.then, *step.branch.else_]))
        for step in steps
    )
