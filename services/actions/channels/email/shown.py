"""A mail as it goes over the wire, for people to look at."""

from typing import Any

from sqlalchemy import Row

from schemas.addresses import BadAddress
from services.actions.channels.email.channel import StagingRecipients, mailing_of
from services.actions.channels.email.message import build


def wire_text(row: Row[Any], staging: StagingRecipients) -> str | None:
    """The message of an action's row, but for its `Date`, which says when it begins, and a DKIM signature; None: none
    can be built."""
    mailing = mailing_of(row.playbook, row.step, row.topic)
    try:  # the return path is none of the message
        envelope = build(row.id, staging.redirected(row.rendered), "", mailing)
    except (BadAddress, KeyError):
        return None
    return (envelope.above + envelope.below).decode()
