"""The sending halves of the channels, with one line here for each."""

from collections.abc import Callable, Mapping

from services.actions.channels import CHANNELS
from services.actions.channels.base import Channel, ChannelContext
from services.actions.channels.email.channel import email_channel
from services.actions.channels.task.channel import task_channel
from services.actions.channels.webhook.channel import webhook_channel

Sender = Callable[[ChannelContext], Channel]


def register(senders: Mapping[str, Sender]) -> Mapping[str, Sender]:
    """Returns `senders`. Raises `ValueError` unless they are those of all registered channels and of no others."""
    if odd := sorted(senders.keys() ^ CHANNELS.keys()):
        raise ValueError(f"channels of which only one half is registered: {', '.join(odd)}")
    return senders


SENDERS = register({
    "email": email_channel,
    "task": task_channel,
    "webhook": webhook_channel,
})  # fmt: skip
