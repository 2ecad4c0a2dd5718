"""Channel `task`. A task is done with the commit in which its step ran; there is nothing left to deliver."""

from services.actions.channels.base import ChannelContext, Prepared
from services.actions.plays.model import Leased
from services.actions.plays.retry_policy import Outcome


class TaskChannel:
    """Answers `done` for any task that reaches the delivery loop all the same."""

    concurrency = 1
    per_key = 1
    idempotent, marks_effect, independent = True, False, False
    trouble = None

    def concurrency_key(self, action: Leased) -> str:
        """One key for all tasks."""
        return action.channel

    def places(self, key: str) -> int:  # noqa: ARG002
        """The same for all."""
        return self.per_key

    async def prepare(self, action: Leased) -> Prepared | Outcome:  # noqa: ARG002
        """The outcome `done`."""
        return Outcome(kind="done")

    async def close(self) -> None:
        """Nothing to close."""


def task_channel(context: ChannelContext) -> TaskChannel:  # noqa: ARG001
    """The channel."""
    return TaskChannel()
