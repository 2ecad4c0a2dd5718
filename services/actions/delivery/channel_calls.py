"""Calls of channels. They raise nothing; if one does all the same, that is how its attempt ends."""

from backbone.telemetry import get_logger
from services.actions.channels.base import Channel, Prepared
from services.actions.plays.model import Leased
from services.actions.plays.retry_policy import Outcome

log_ = get_logger("touchline.delivery")


async def prepared(channel: Channel, action: Leased) -> Prepared | Outcome:
    """Prepare an action."""
    try:
        return await channel.prepare(action)
    except Exception as error:
        log_.exception("a channel failed to prepare an action", action=action.id)
        return Outcome(kind="temporary", reason="interrupted", detail=repr(error))


async def sent(ready: Prepared, channel: Channel, begun_at: int) -> Outcome:
    """Send an action. If that fails unforeseen, nobody knows whether the effect happened."""
    try:
        return await ready.send(begun_at)
    except Exception as error:
        log_.exception("a channel failed to send an action")
        if channel.idempotent:
            return Outcome(kind="temporary", reason="interrupted", detail=repr(error))
        return Outcome(kind="uncertain", reason="maybe_delivered", detail=repr(error))
