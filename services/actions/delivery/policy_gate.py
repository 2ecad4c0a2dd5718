"""Lets mails to contacts begin when the sending policy does, by the wall clock. Blocking SQL.

A mail is judged twice: when it is leased, so that one that has to wait costs no connection to a mail server, and in the
transaction that stores its first attempt. The latter decides. It holds the lock of the mail's address (where a cap
counts by account, of its account too), so that no other beginning that the same cap counts is under way. Between the
two, of the mails to one address only the first is leased; the others are woken when it has begun. With the log clock
the worker has judged them before.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from schemas.play_reasons import ActionReason
from services.actions.channels import CHANNELS
from services.actions.plays.model import Leased
from services.actions.policy.rules import NO_POLICY, SendingPolicy
from services.actions.policy.turns import Turn, in_turn
from services.actions.storage import beginnings, sending, waiting
from services.actions.storage.sending_policy import PolicyReader
from services.actions.storage.suppressions import Hasher
from services.actions.storage.waiting import Scene

BEHIND_US = 5_000_000  # between looks at a mail whose turn comes after another's, which wakes it
# Between looks at one that waits for a mail of its own play, which may end in many ways.
UNTOLD_US = 60_000_000


class Judged(NamedTuple):
    """Which of our mails may begin, and which never will, with their reasons; the others wait."""

    go: set[str]
    skipped: dict[str, ActionReason]
    woken: int = 0  # mails that waited behind them


class PolicyGate:
    """Judges mails. For one thread."""

    def __init__(self, hasher: Hasher, *, log_clock: bool) -> None:
        self._hasher, self._log_clock = hasher, log_clock
        self._reader = PolicyReader()

    def policy(self, conn: Connection) -> SendingPolicy | None:
        """The policy to judge by."""
        return None if self._log_clock else self._reader.current(conn)

    def concerned(self, policy: SendingPolicy | None, actions: Iterable[Leased]) -> list[Leased]:
        """Those of the actions that have to be judged."""
        if self._log_clock:
            return []
        return [
            one
            for one in actions
            if one.begun_at is None and (one.waits or policy is not None) and _is_mail(one)
        ]

    def keep_back(
        self, conn: Connection, policy: SendingPolicy | None, leased: Sequence[Leased], now: int
    ) -> Judged:
        """Judge mails that were just leased."""
        return self._judge(conn, policy or NO_POLICY, leased, now, begin=False)

    def begin(
        self, conn: Connection, policy: SendingPolicy | None, mails: Sequence[Leased], now: int
    ) -> Judged:
        """Judge mails whose first attempt is about to begin; those that may count as begun from here on. The caller has
        the locks (see `suppressions.lock`)."""
        return self._judge(conn, policy or NO_POLICY, mails, now, begin=True)

    def _judge(
        self, conn: Connection, policy: SendingPolicy, mails: Sequence[Leased], now: int, *, begin: bool
    ) -> Judged:
        ids = [one.id for one in mails]
        found = waiting.scene(conn, ids, self._hasher, now, by_account=policy.by_account)
        counted = [one.mail for one in found.contenders] if policy.caps else []
        begun = beginnings.past(conn, counted, now - policy.longest, by_account=policy.by_account)
        turns = in_turn(
            policy, found.contenders, found.ours, begun, now, pause=_pause(conn), begin=begin
        )  # fmt: skip
        skipped = {one: turn.reason for one, turn in turns.items() if turn.skipped and turn.reason}
        go = {one for one, turn in turns.items() if turn.begins}
        if begin:
            skipped |= dict.fromkeys(go & found.inactive, ActionReason.CONTACT_INACTIVE)
            go -= found.inactive
        waiting.put_off(
            conn, [_look(one, turn, now) for one, turn in turns.items() if turn.again is not None]
        )
        known = {*ids} - turns.keys()  # they began before, or are gone
        woken = self._over(conn, policy, found, go if begin else set(), skipped, now)
        return Judged(go | known, skipped, woken)

    def _over(
        self,
        conn: Connection,
        policy: SendingPolicy,
        found: Scene,
        begun: set[str],
        skipped: Iterable[str],
        now: int,
    ) -> int:
        """Note what has begun, and wake those that waited for what is over."""
        if policy.caps:
            beginnings.keep(conn, [found.ours[one].begun(now) for one in sorted(begun)])
        over = begun.union(skipped)
        if not over:
            return 0
        accounts = {found.ours[one].account for one in over} if policy.by_account else set()
        return waiting.wake(conn, {found.addressees[one] for one in over}, accounts, now)


def _is_mail(one: Leased) -> bool:
    channel = CHANNELS.get(one.channel)
    return channel is not None and channel.needs_consent and one.contact is not None


def _pause(conn: Connection) -> Callable[[int, int], int]:
    return lambda since, until: sending.off_time(conn, since, until)


def _look(action: str, turn: Turn, now: int) -> tuple[str, int, int, str]:
    """When a mail that waits is looked at: by the one before it at the latest, if it waits for that."""
    again = turn.again or now
    soon = again
    if turn.reason is ActionReason.BEHIND:
        soon = min(now + UNTOLD_US, again) if again > now else now + BEHIND_US
    return str(turn.reason), soon, soon, action
