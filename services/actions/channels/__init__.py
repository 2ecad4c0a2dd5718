"""The channels: one file each, one line here each."""

from collections.abc import Callable

from services.actions.channels import task
from services.actions.channels.base import Channel, ChannelContext
from services.actions.channels.email import channel as email_channel
from services.actions.channels.webhook import channel as webhook_channel

CHANNELS: dict[str, Callable[[ChannelContext], Channel]] = {
    "email": email_channel.channel,
    "task": task.channel,
    "webhook": webhook_channel.channel,
}
