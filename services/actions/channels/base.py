"""The sending half of a channel: it prepares an action, then sends it, and says how that ended."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from backbone.settings import Settings
from schemas.endpoint import AT_ONCE
from services.actions.plays.model import Leased
from services.actions.plays.retry_policy import Outcome


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """A user name and a password."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OAuth2Client:
    """What a token server gives access tokens for."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class TargetAuth:
    """How an endpoint is told who calls: by one of these."""

    bearer: str | None = field(default=None, repr=False)
    basic: BasicAuth | None = None
    oauth2: OAuth2Client | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A webhook endpoint as it is now. Its secrets begin with `whsec_`, and are only used if it signs.

    `secret` stands in for `secrets` in endpoints stored before there could be two. `rate`: how many webhooks may begin
    in a second, over all processes; None: any number.
    """

    url: str
    secret: str = field(default="", repr=False)
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    auth: TargetAuth | None = None
    sign: bool = True
    format: str = "json"
    concurrency: int = AT_ONCE
    secrets: list[str] = field(default_factory=list, repr=False)
    rate: float | None = None

    @property
    def keys(self) -> list[str]:
        """The secrets, all of which sign."""
        return self.secrets or [self.secret]


@dataclass(frozen=True, slots=True)
class ChannelTrouble:
    """The trouble that keeps a channel from sending anything.

    `since`: when it began, in microseconds. `detail`: the other side's words about it, for people.
    """

    since: int
    detail: str


@dataclass(frozen=True, slots=True)
class ChannelContext:
    """The surroundings from which channels are built.

    `endpoint` looks up a target by its name, as it was when the newest attempt at it began; None: there is none. It
    may be called during `send` only. `now` is the wall clock, in microseconds.

    `on_health` is called with every sign of whether a channel can send at all: its trouble, or None if it just could.

    `before_effect` is called with an action at the last moment before its effect, which must not happen twice (see
    `Channel.marks_effect`). If it raises `OSError`, the effect must not happen.
    """

    settings: Settings
    endpoint: Callable[[str], Target | None]
    before_effect: Callable[[str], None] = lambda _: None
    now: Callable[[], int] = lambda: 0
    on_health: Callable[[ChannelTrouble | None], None] = lambda _: None


class Prepared(Protocol):
    """An action that is ready to be sent. Exactly one of `send` and `drop` is called, once."""

    async def send(self, begun_at: int) -> Outcome:
        """Send it; returns how that ended. Raises nothing but `CancelledError`.

        `begun_at`: when its first attempt began, in microseconds.
        """
        ...

    async def drop(self) -> None:
        """Do not send it after all: give back the connection, if it holds one."""
        ...


class Channel(Protocol):
    """One way of reaching somebody. It lives on the delivery loop's event loop.

    `concurrency`: how many actions may be prepared or under way at once.
    `per_key`: how many of them may have the same concurrency key, unless `places` knows better.
    `idempotent`: an attempt with an unknown end may be made again.
    `marks_effect`: a channel that is not idempotent calls `ChannelContext.before_effect` itself, later than at the
    start of `send`.
    `independent`: each key, which is then the recipient itself, stands for a machine that answers or hangs by itself.
    """

    concurrency: int
    per_key: int
    idempotent: bool
    marks_effect: bool
    independent: bool

    @property
    def trouble(self) -> ChannelTrouble | None:
        """The trouble that keeps the channel from sending at all, as far as it knows."""
        ...

    def concurrency_key(self, action: Leased) -> str:
        """The key that actions to the same machine share: the recipient's domain, the endpoint."""
        ...

    def places(self, key: str) -> int:
        """How many actions with this key may be under way at once, asked whenever an attempt has begun."""
        ...

    async def prepare(self, action: Leased) -> Prepared | Outcome:
        """Do everything short of the effect itself; an outcome if the attempt ends here. Raises nothing else."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
