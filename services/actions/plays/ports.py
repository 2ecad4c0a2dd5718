"""What the pure plays ask of the outside: a store of plays and profiles, and a library of saved documents."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from schemas.blanks import EndpointTemplates
from schemas.profile import Profile
from services.actions.plays.model import Awaited, Op, Play, Sighting
from services.actions.plays.program import Playbook

Stands = Callable[[str], bool]  # whether a play stands still, for its playbook or its rule is paused


class Store(Protocol):
    """Everything that a partition remembers. Every later call sees what was put, committed or not."""

    def profile(self, account: str) -> Profile | None:
        """The account as it is at this position in the log."""
        ...

    def put_profile(self, profile: Profile) -> None:
        """Keep a profile, new or changed."""
        ...

    def erase_account(self, account: str) -> None:
        """Forget the account, its plays, actions and tasks."""
        ...

    def erase_contact(self, account: str, contact: str) -> None:
        """Forget the plays, actions and tasks of a contact; the caller updates the profile."""
        ...

    def sighted(self, digest: bytes) -> Sighting | None:
        """When an event with this hash was last taken for a new one."""
        ...

    def put_sighting(self, digest: bytes, sighting: Sighting) -> None:
        """Keep the sighting of an event."""
        ...

    def play(self, play: str) -> Play | None:
        """A play by its id, whatever its status."""
        ...

    def live_plays(self, account: str) -> list[Play]:
        """The account's open and held plays, and the finished ones with open tasks or with items that wait for a
        digest."""
        ...

    def watched_plays(self, account: str) -> list[Play]:
        """The account's plays whose goal an event may still reach, perhaps with some for which it is too late."""
        ...

    def put_play(self, play: Play) -> None:
        """Keep a play, new or changed."""
        ...

    def next_wait(self, upto: int) -> Play | None:
        """The open or held play whose wait falls due first in the partition, if at or before `upto`. Open plays that
        stand still are passed over."""
        ...

    def next_approval(self, upto: int) -> Awaited | None:
        """The action whose time to be approved is over first in the partition, if at or before `upto`. Actions of what
        is paused are passed over, and all of them while sending is off."""
        ...

    def put_off(self, play: str) -> None:
        """Do not return this play from `next_wait` again in this batch."""
        ...

    def recall(self, stands: Stands) -> None:
        """Return the plays that were put off from `next_wait` again, and look again at mails of plays that stood still
        and do so no more."""
        ...

    def next_look(self, upto: int) -> int | None:
        """With the log clock: the earliest moment at which a mail that waits is to be looked at, if by `upto`."""
        ...

    def look(self, at: int, stands: Stands) -> None:
        """Let the mails that are due at a moment begin, skip them, or let them wait on. `stands`: whether a play
        stands still."""
        ...

    def next_digest(self, upto: int) -> "DueDigests | None":
        """The digests that are due first, if at or before `upto`. None where something else looks after them: several
        partitions share them."""
        ...

    def do(self, op: Op) -> None:
        """Keep what a step left: a draft to render and store, an end to actions or tasks, an event, a note."""
        ...


class DueDigests(NamedTuple):
    """The digests of one moment, which `send` lets go out."""

    moment: int
    send: "Callable[[Library], None]"


class Library(Protocol):
    """The saved playbooks, templates and endpoints."""

    def playbook(self, name: str) -> Playbook | None:
        """The playbook as it is now; None if there is none."""
        ...

    def version(self, name: str, version: int) -> Playbook:
        """A playbook as it was at a version."""
        ...

    def template_versions(self, names: frozenset[str]) -> dict[str, int]:
        """The current versions of those of these templates that exist."""
        ...

    def template(self, name: str, version: int) -> dict[str, Any]:
        """A template's document at a version."""
        ...

    def endpoint(self, name: str) -> EndpointTemplates:
        """What is rendered of an endpoint as it is now; nothing of one that does not exist."""
        ...

    def brand(self) -> dict[str, str | None]:
        """The brand that mails show now, as templates see it."""
        ...

    def timezone(self) -> str | None:
        """The timezone of the sending policy; None: it has none."""
        ...

    def tier(self, profile: Profile) -> str | None:
        """The tier of an account as it is now; None: nobody can tell."""
        ...

    def watches(self, type_: str) -> bool:
        """Whether some playbook has an exit, a goal or a wait for events of this type."""
        ...
