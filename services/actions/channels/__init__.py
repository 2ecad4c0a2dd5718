"""The channels: one file each, one line here each."""

from collections.abc import Callable

from services.actions.channels import email, task, webhook
from services.actions.channels.base import Channel, Surroundings

CHANNELS: dict[str, Callable[[Surroundings], Channel]] = {
    "email": email.channel,
    "task": task.channel,
    "webhook": webhook.channel,
}
