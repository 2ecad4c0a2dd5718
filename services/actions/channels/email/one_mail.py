"""Sends one mail that belongs to no action, over a connection of its own, and says how that ended."""

import asyncio
from typing import Any

from backbone.settings import Settings
from backbone.telemetry import get_logger
from services.actions.channels.base import ChannelContext
from services.actions.channels.email.channel import email_channel
from services.actions.plays.model import Leased
from services.actions.plays.retry_policy import Outcome

TRY_S = 45.0

log = get_logger("touchline.mail")


def send_one(settings: Settings, name: str, content: dict[str, Any], now: int) -> Outcome:
    """Send a mail's content (see `Rendered`) under a name that stands in its Message-ID. Blocks.

    The switch, suppressions and caps do not hold it; the settings for staging do (`mail_only_to`).
    """
    return asyncio.run(_sent(settings, name, content, now))


async def _sent(settings: Settings, name: str, content: dict[str, Any], now: int) -> Outcome:
    channel = email_channel(ChannelContext(settings, lambda _: None, on_health=lambda _: None))
    action = Leased(
        id=name, play="", playbook="", account="", contact=None, channel="email", step="",
        recipient=content["to"]["email"], topic=content.get("topic", ""), attempts=0, due_at=now, rendered=content,
        interrupted=False,
    )  # fmt: skip
    try:
        async with asyncio.timeout(TRY_S):
            ready = await channel.prepare(action)
            return ready if isinstance(ready, Outcome) else await ready.send(now)
    except TimeoutError:
        return Outcome(kind="temporary", reason="timeout", detail=f"no answer within {TRY_S:g} s")
    except Exception as error:
        log.exception("a mail cannot be sent", mail=name)
        return Outcome(kind="temporary", detail=type(error).__name__)
    finally:
        await channel.close()
