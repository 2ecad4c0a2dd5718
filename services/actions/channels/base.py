"""What every channel is: it prepares an action, then sends it, and says how that ended."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from backbone.settings import Settings
from services.actions.plays.model import Leased
from services.actions.plays.retry_policy import Outcome


@dataclass(frozen=True, slots=True)
class Target:
    """A webhook endpoint as it is now; the secret is `whsec_…`."""

    url: str
    secret: str


@dataclass(frozen=True, slots=True)
class ChannelContext:
    """What channels are built from. `endpoint` is a target by its name, as it was when the newest attempt at it
    began; None: there is none. Of any use during `send` only.

    `now` is the wall clock, in microseconds.

    `before_effect` is told the action whose effect is about to happen and must not happen twice, at the last moment
    (see `Channel.marks_effect`). If it raises `OSError`, the effect must not happen.
    """

    settings: Settings
    endpoint: Callable[[str], Target | None]
    before_effect: Callable[[str], None] = lambda _: None
    now: Callable[[], int] = lambda: 0


@dataclass(frozen=True, slots=True)
class ChannelTrouble:
    """What keeps a channel from sending anything: since when (microseconds), and what the other side says of it, for
    people."""

    since: int
    detail: str


class Prepared(Protocol):
    """An action ready to leave the house. Exactly one of the two is called, once."""

    async def send(self) -> Outcome:
        """Let it go, and say how that ended. Raises nothing but `CancelledError`."""
        ...

    async def drop(self) -> None:
        """It is not to be sent after all: give back what it holds."""
        ...


class Channel(Protocol):
    """One way of reaching somebody. It lives on the delivery loop's event loop.

    `concurrency`: actions prepared or under way at once; `per_key` of these with the same concurrency key.
    `idempotent`: an attempt of which nobody knows how it ended may be made again.
    `marks_effect`: one that is not idempotent calls `ChannelContext.before_effect` itself, later than at the start
    of `send`.
    `independent`: each key, then the recipient itself, stands for a machine that answers or hangs by itself.
    """

    concurrency: int
    per_key: int
    idempotent: bool
    marks_effect: bool
    independent: bool

    @property
    def trouble(self) -> ChannelTrouble | None:
        """What keeps it from sending at all, as far as it knows."""
        ...

    def concurrency_key(self, action: Leased) -> str:
        """What goes to the same machine has the same key: the recipient's domain, the endpoint."""
        ...

    async def prepare(self, action: Leased) -> Prepared | Outcome:
        """Everything short of the effect itself; an outcome if it comes to nothing. Raises nothing else."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
