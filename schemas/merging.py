"""`account.merged`: an account is closed, and another goes on for it.

`{"type": "account.merged", "account": A, "data": {"into": B}}` comes from outside with the scope `admin`. Ingest itself
sends it for an account that stood for one Segment user alone, once that user is known to belong elsewhere, with
`"lone": true` and `"contact"`: who that user is at `into`. Whoever keeps A carries such a one out only if nothing but
that user's calls ever made A (`is_lone_call` of every event), and, where the merge itself is `unvouched`, only if all
of those were unvouched too. What a stranger may have sent closes nothing for others: a vouched event of an account that
is closed by an unvouched merge opens it anew, and a vouched merge of it takes the place of the unvouched one.
"""

import msgspec

from schemas.event import MERGED, Event
from schemas.names import is_name

SEGMENT = "segment"  # the source of Segment's calls
SEGMENT_PUBLIC = "segment-public"  # of those with a `track` key: no stranger takes the id of an event to come
FROM_SEGMENT = frozenset({SEGMENT, SEGMENT_PUBLIC})


class Merge(msgspec.Struct, frozen=True):
    """What an `account.merged` says. `contact`: of a lone account, who its user is at `into`."""

    account: str
    into: str
    lone: bool = False
    contact: str | None = None
    unvouched: bool = False


def merge_of(event: Event) -> Merge | None:
    """The merge that an event tells of; None if it tells of none that can be."""
    data = event.data
    if event.type != MERGED or not isinstance(data, dict) or not is_name(event.account):
        return None
    into, contact = data.get("into"), data.get("contact")
    if not is_name(into) or into == event.account:
        return None
    lone = data.get("lone") is True
    return Merge(event.account, into, lone, contact if lone and is_name(contact) else None, event.unvouched)


def is_lone_call(event: Event) -> bool:
    """Whether an event may be a call of the one user whose id its account has: nobody else's, and no other source's."""
    return event.source in FROM_SEGMENT and event.contact in (None, event.account)
