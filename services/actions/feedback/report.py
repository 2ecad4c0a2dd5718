"""A report about one of our mails, the same for every format, and how it is told which mail that is. Pure."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from services.actions.channels.email.message import METADATA
from services.actions.plays.mail_reports import ReportKind

MAX_DETAIL = 2_000  # characters kept of what the other side says
_ACTION = re.compile(r"(?<![0-9A-Za-z_])act_[0-9a-z]{1,60}(?![0-9A-Za-z_])")
_LATEST = 4_102_444_800  # 2100; a later time is no time at all


class MailReport(msgspec.Struct, frozen=True):
    """A report about the mail of an action. `at`: when it happened, in microseconds, as far as it says.

    `detail`: the words of the other side, for people.
    """

    action: str
    kind: ReportKind
    at: int | None = None
    detail: str = ""


Reports = Iterator[MailReport | None]  # None: an item that is about no mail of ours, or that cannot be read


def action_in(*places: object) -> str | None:
    """The id of an action in the first of these texts that holds one: a Message-ID, or the id itself."""
    for place in places:
        found = _ACTION.search(place) if isinstance(place, str) else None
        if found is not None:
            return found[0]
    return None


def report(action: str | None, kind: ReportKind, at: int | None, *words: object) -> MailReport | None:
    """The report, if it is known which mail it is about. `words` that are no text are left out."""
    if action is None:
        return None
    said = "; ".join(" ".join(word.split()) for word in words if isinstance(word, str) and word.strip())
    return MailReport(action, kind, at, said.replace("\0", "")[:MAX_DETAIL])


def part(of: object, name: str) -> dict[str, Any]:
    """The object under this name; empty if there is none."""
    found = of.get(name) if isinstance(of, Mapping) else None
    return found if isinstance(found, dict) else {}


def metadata_of(found: Mapping[str, Any]) -> object:
    """The action's id in a provider's metadata, whatever it made of the name's case."""
    return next((value for name, value in found.items() if str(name).lower() == METADATA), None)


def from_seconds(value: object) -> int | None:
    """A time in seconds since the epoch, in microseconds; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LATEST:
        return None
    return int(value * 1_000_000)


def from_text(value: object) -> int | None:
    """A time in ISO 8601, in microseconds; None if it is none."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if found is None:
        return None
    return from_seconds((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
