"""`account.merged`: one account is closed, and another goes on for it.

`{"type": "account.merged", "account": A, "data": {"into": B}}` comes from outside with the scope `admin`.

Ingest itself sends one for an account that stood for one Segment user alone, once that user is known to
belong elsewhere: with `"lone": true`, and in `"contact"` who that user is at `into`. Such a merge is carried
out only if nothing but that user's calls ever made A (`is_lone_call` of every event). If the merge itself is
`unvouched`, all of those must have been unvouched too.

An unvouched merge closes nothing for others: a vouched event of the closed account opens it again, and a
vouched merge of it replaces the unvouched one.
"""

import msgspec

from schemas.event import MERGED, Event
from schemas.names import is_name

SEGMENT = "segment"  # the source of Segment's calls
# the source of calls with a `track` key, so that these cannot use up ids of other events
SEGMENT_PUBLIC = "segment-public"
FROM_SEGMENT = frozenset({SEGMENT, SEGMENT_PUBLIC})


class Merge(msgspec.Struct, frozen=True):
    """What an `account.merged` says. `contact`: of a lone account, who its user is at `into`."""

    account: str
    into: str
    lone: bool = False
    contact: str | None = None
    unvouched: bool = False


def merge_of(event: Event) -> Merge | None:
    """The merge in an event; None if it has none that is possible."""
    data = event.data
    if event.type != MERGED or not isinstance(data, dict) or not is_name(event.account):
        return None
    into, contact = data.get("into"), data.get("contact")
    if not is_name(into) or into == event.account:
        return None
    lone = data.get("lone") is True
    return Merge(event.account, into, lone, contact if lone and is_name(contact) else None, event.unvouched)


def is_lone_call(event: Event) -> bool:
    """Whether an event may be a call of the one user whose id the account has, and comes from no other source."""
    return event.source in FROM_SEGMENT and event.contact in (None, event.account)
