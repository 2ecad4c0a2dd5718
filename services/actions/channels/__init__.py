"""The channels. Each is a package, and has one line here for its pure half and one in `senders` for the other."""

from services.actions.channels.email.spec import EMAIL
from services.actions.channels.spec import register
from services.actions.channels.task.spec import TASK
from services.actions.channels.webhook.spec import WEBHOOK

CHANNELS = register(
    EMAIL,
    TASK,
    WEBHOOK,
)
NEED_CONSENT = tuple(name for name, channel in CHANNELS.items() if channel.needs_consent)
LEAVE_FILES = tuple(name for name, channel in CHANNELS.items() if channel.leaves_files)
