"""Mails that wait, and mails that began, as the policy sees them. Pure. Moments are in microseconds."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

DEFAULT_PRIORITY = 5


class Begun(msgspec.Struct, frozen=True, array_like=True):
    """A mail that began. `address` is in a form that compares."""

    id: str
    at: int
    address: str
    account: str
    topic: str
    tier: str


class WaitingMail(msgspec.Struct, kw_only=True):
    """A mail to a contact that has not begun.

    `ran_at`: when its step ran. `ready_at`: from when on it may begin, if that is later. `late_at`: the last moment at
    which its step lets it begin. `waited`: the waits of its play before it, added up.
    """

    id: str
    play: str
    account: str
    contact: str
    address: str
    topic: str
    tier: str
    priority: int = DEFAULT_PRIORITY
    ran_at: int
    ready_at: int | None = None
    late_at: int | None = None
    waited: int = 0
    zone: str | None = None  # of the contact, else of the account
    awaits: bool = False  # somebody has to let it begin, and says so by `MailQueue.free`
    reason: str | None = None  # why it had to wait when it was looked at last

    def begun(self, at: int) -> Begun:
        """What is kept of it once it begins."""
        return Begun(self.id, at, self.address, self.account, self.topic, self.tier)


class Earlier(NamedTuple):
    """A mail of the same play to the same recipient, from a step before."""

    begun_at: int | None
    waits: bool  # it has not begun, and still may
    waited: int


def due(mail: WaitingMail, earlier: Sequence[Earlier]) -> int | None:
    """The moment from which on a mail may begin; None while that is open, as the mail before it waits.

    Not before the last one before it that began, and the waits between them: a wait for a date is none of these.
    """
    own = mail.ran_at if mail.ready_at is None else mail.ready_at
    for one in reversed(earlier):
        if one.begun_at is not None:
            return max(own, one.begun_at + mail.waited - one.waited)
        if one.waits:
            return None
    return own


class Past:
    """The mails that began, by address and by account."""

    def __init__(self, begun: Iterable[Begun] = ()) -> None:
        self._to: defaultdict[str, dict[tuple[str, int], Begun]] = defaultdict(dict)
        self._of: defaultdict[str, dict[tuple[str, int], Begun]] = defaultdict(dict)
        for one in begun:
            self.add(one)

    def add(self, one: Begun) -> None:
        """Count a mail that begins; a second time, it counts no more."""
        self._to[one.address][one.id, one.at] = one
        self._of[one.account][one.id, one.at] = one

    def to(self, address: str) -> Collection[Begun]:
        """The mails to an address."""
        return self._to[address].values() if address in self._to else ()

    def of(self, account: str) -> Collection[Begun]:
        """The mails to the contacts of an account."""
        return self._of[account].values() if account in self._of else ()

    def copy(self) -> "Past":
        """The same, for what may come of it."""
        return Past(self.all())

    def all(self) -> Iterator[Begun]:
        """All of them."""
        for mine in self._to.values():
            yield from mine.values()
