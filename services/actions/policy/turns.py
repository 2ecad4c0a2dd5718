"""Whose turn it is: which of the mails that wait may begin at a moment, and why the others may not. Pure."""

from collections.abc import Callable, Container, Iterable
from typing import NamedTuple

from schemas.play_reasons import ActionReason
from services.actions.policy.mails import Past, WaitingMail
from services.actions.policy.rules import NEVER, SendingPolicy

WAITS = (ActionReason.QUIET_HOURS, ActionReason.CAPPED, ActionReason.BEHIND)
Pause = Callable[[int, int], int]  # for how long the times stood still between two moments


class Turn(NamedTuple):
    """What becomes of a mail at a moment: it begins, is skipped with a reason, or is looked at `again`."""

    reason: ActionReason | None = None
    again: int | None = None

    @property
    def begins(self) -> bool:
        """Whether it begins."""
        return self.reason is None and self.again is None

    @property
    def skipped(self) -> bool:
        """Whether it will never begin."""
        return self.reason is not None and self.again is None


BEGINS = Turn()


class Contender(NamedTuple):
    """A mail that waits, and the moment from which on it may begin: None while that is open (see `mails.due`)."""

    mail: WaitingMail
    due: int | None

    @property
    def place(self) -> tuple[int, int, str]:
        """Who of two contenders goes first: the one with the smaller place."""
        return -self.mail.priority, NEVER if self.due is None else self.due, self.mail.id


def last_moment(policy: SendingPolicy, one: Contender) -> tuple[int, bool]:
    """The last moment at which a mail may begin, and whether it is its step that says so."""
    patience = NEVER if one.due is None else one.due + policy.patience
    late = NEVER if one.mail.late_at is None else one.mail.late_at
    return min(patience, late), late <= patience


def alone(policy: SendingPolicy, one: Contender, past: Past, at: int, pause: Pause | None = None) -> Turn:
    """What becomes of a mail at a moment, whatever other mails wait. `pause`: while sending is off, times stand
    still."""
    last, by_step = last_moment(policy, one)
    if pause is not None and at >= last:
        since = one.mail.ran_at if one.due is None or by_step else one.due
        last += pause(since, at)
    reason, again = _hindrance(policy, one, past, min(at, last), last)
    if at > last or (at == last and reason is not None):
        known = reason or next((why for why in WAITS if why == one.mail.reason), None)
        return Turn(ActionReason.TOO_LATE if by_step or known is None else known)
    return BEGINS if reason is None else Turn(reason, min(again, last))


def _hindrance(
    policy: SendingPolicy, one: Contender, past: Past, at: int, last: int
) -> tuple[ActionReason | None, int]:
    if one.due is None or one.due > at:
        return ActionReason.BEHIND, NEVER if one.due is None else one.due
    mail = one.mail
    found = policy.hindrance(mail, past.to(mail.address), past.of(mail.account), at, last)
    return (None, at) if found is None else found


def in_turn(
    policy: SendingPolicy,
    contenders: Iterable[Contender],
    ours: Container[str],
    past: Past,
    at: int,
    *,
    pause: Pause | None = None,
    begin: bool = True,
) -> dict[str, Turn]:
    """What becomes of our mails at a moment, in their order; `past` gets those that begin.

    A mail waits (`behind`) while one that could begin goes before it and is not ours to begin. `begin`: our mails begin
    now. If not, they are only about to: then one waits behind another to the same address, so that they go out in their
    order, and behind those that leave it no room.
    """
    found: dict[str, Turn] = {}
    taken: set[tuple[str, str]] = set()
    before = past if begin else past.copy()
    for one in sorted(contenders, key=lambda one: one.place):
        mail, keys = one.mail, policy.keys(one.mail)
        turn, mine = alone(policy, one, past, at, pause), mail.id in ours
        if turn.begins and mine and not _goes(policy, one, before, at, taken, keys):
            turn = Turn(ActionReason.BEHIND, at)
        if turn.begins and mine:
            before.add(mail.begun(at))
            taken.update(keys[:1] if not begin else ())  # the address
        elif turn.begins or turn == (ActionReason.BEHIND, at):
            taken.update(keys)
        if mine:
            found[mail.id] = turn
    return found


def _goes(
    policy: SendingPolicy,
    one: Contender,
    before: Past,
    at: int,
    taken: Container[tuple[str, str]],
    keys: Iterable[tuple[str, str]],
) -> bool:
    """Whether a mail that could begin may, where others go before it: nobody else's, and ours leave it room."""
    if any(key in taken for key in keys):
        return False
    mail = one.mail
    return policy.free(mail, before.to(mail.address), before.of(mail.account), at) <= at
