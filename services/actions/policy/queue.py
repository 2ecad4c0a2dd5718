"""The mails that wait, as the log clock runs them: in order of time, and at one moment in their turn. Pure.

A mail is looked at when the rule that keeps it back may let it go: its hours open, a cap has room, the mail before it
has begun. Nothing else lets it begin sooner, so between two looks nothing happens. At one moment those that may begin
do so one after the other (see `turns`); then those whose time is up are skipped.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from schemas.play_reasons import ActionReason
from services.actions.policy.mails import Earlier, Past, WaitingMail, due
from services.actions.policy.rules import NEVER, SendingPolicy
from services.actions.policy.turns import BEGINS, Contender, Turn, alone

Chain = tuple[str, str]  # a play and an address
# Looks of mails that are looked at now, and of those that are skipped once others have begun.
TAKEN, ENDING = -1, -2
STANDS = (1 << 62) - 1  # the look of a mail that others than the policy keep back


class Outcome(NamedTuple):
    """What became of a mail at a look. One that waits may be looked at again at the same moment."""

    mail: WaitingMail
    turn: Turn


class _Kept(msgspec.Struct, eq=False):
    """A mail of a chain, which waits, began, or is over."""

    mail: WaitingMail
    look: int
    waits: bool = True
    begun_at: int | None = None


_Pending = list[tuple[tuple[int, int, str], _Kept]]  # a heap by whose turn it is


class MailQueue:
    """The mails that wait in one partition. `past` has what began, and gets what begins."""

    def __init__(self, past: Past | None = None) -> None:
        self.past = past or Past()
        self._chains: defaultdict[Chain, list[_Kept]] = defaultdict(list)
        self._waiting: dict[str, _Kept] = {}
        self._of: defaultdict[str, dict[str, None]] = defaultdict(dict)  # the mails of a play that wait
        self._looks: list[tuple[int, str]] = []

    def __contains__(self, mail: str) -> bool:
        return mail in self._waiting

    def add(self, mail: WaitingMail, look: int) -> None:
        """Let a mail wait, to be looked at from `look` on. Those of a play come in the order of their steps."""
        kept = _Kept(mail, look)
        self._chains[mail.play, mail.address].append(kept)
        self._waiting[mail.id] = kept
        self._of[mail.play][mail.id] = None
        heapq.heappush(self._looks, (look, mail.id))

    def remember(self, mail: WaitingMail, begun_at: int) -> None:
        """Note that a mail began before, for those that follow it in its play."""
        self._chains[mail.play, mail.address].append(_Kept(mail, 0, waits=False, begun_at=begun_at))

    def waiting(self) -> Iterable[WaitingMail]:
        """The mails that wait."""
        return [kept.mail for kept in self._waiting.values()]

    def of(self, play: str) -> list[str]:
        """The mails of a play that wait."""
        return list(self._of.get(play, ()))

    def due_by(self, at: int) -> list[WaitingMail]:
        """The mails that may be looked at by a moment, with those that follow them in their plays."""
        found: dict[str, WaitingMail] = {}
        for kept in [one for one in self._waiting.values() if one.look <= at]:
            for one in (kept, *self._following(kept)):
                found[one.mail.id] = one.mail
        return list(found.values())

    def reason_of(self, mail: str) -> str | None:
        """Why a mail that waits had to when it was looked at last."""
        return self._waiting[mail].mail.reason

    def look_of(self, mail: str) -> int:
        """When a mail that waits is looked at next."""
        return self._waiting[mail].look

    def drop(self, mail: str, at: int) -> None:
        """A mail waits no more, for another reason than the policy's: those that follow it do not wait for it."""
        kept = self._waiting.get(mail)
        if kept is not None:
            self._leave(kept)
            for one in self._following(kept):
                self._put(one, min(one.look, at))

    def free(self, mail: str, at: int) -> None:
        """Somebody lets a mail begin that awaited that: it is due from then on."""
        kept = self._waiting.get(mail)
        if kept is not None:
            kept.mail.awaits, kept.mail.ready_at = False, at
            self._put(kept, at)

    def look_again(self, mails: Iterable[str], at: int) -> None:
        """Look at mails from a moment on that were not to begin before somebody said so."""
        for kept in (self._waiting[name] for name in mails if name in self._waiting):
            self._put(kept, min(kept.look, at))

    def next_look(self) -> int | None:
        """The earliest moment at which a mail is to be looked at; None: no mail waits."""
        while self._looks:
            look, name = self._looks[0]
            kept = self._waiting.get(name)
            if kept is not None and kept.look == look:
                return look
            heapq.heappop(self._looks)
        return None

    def run(
        self,
        policy: SendingPolicy,
        at: int,
        others: Callable[[WaitingMail], Turn] = lambda _: BEGINS,
        zone: Callable[[WaitingMail], str | None] = lambda mail: mail.zone,
    ) -> list[Outcome]:
        """Look at every mail whose look is due at a moment; returns what became of them, in order.

        `others`: what others than the policy say of a mail that it lets begin. `zone`: where its reader is now.
        """
        found: list[Outcome] = []
        over: list[tuple[_Kept, ActionReason]] = []
        pending: _Pending = []
        self._take_due(pending, at)
        while pending or over:
            if not pending:
                kept, reason = over.pop(0)
                found.append(Outcome(kept.mail, Turn(reason)))
                self._end(kept, None, pending)
                continue
            kept = heapq.heappop(pending)[1]
            if not kept.waits or kept.look != TAKEN:
                continue  # it was here twice
            if kept.mail.awaits:
                self._put(kept, NEVER)
                continue
            kept.mail.zone = zone(kept.mail)
            turn = alone(policy, self._contender(kept), self.past, at)
            kept.mail.reason = turn.reason
            if turn.begins:
                turn = others(kept.mail)
            if turn.skipped and turn.reason is not None:
                kept.look = ENDING
                over.append((kept, turn.reason))
            elif turn.again is not None:
                self._put(kept, turn.again)
                found.append(Outcome(kept.mail, turn))
            else:
                self.past.add(kept.mail.begun(at))
                found.append(Outcome(kept.mail, BEGINS))
                self._end(kept, at, pending)
        return found

    def _take_due(self, pending: _Pending, at: int) -> None:
        while (look := self.next_look()) is not None and look <= at:
            self._take(self._waiting[heapq.heappop(self._looks)[1]], pending)

    def _take(self, kept: _Kept, pending: _Pending) -> None:
        kept.look = TAKEN
        heapq.heappush(pending, (self._contender(kept).place, kept))

    def _end(self, kept: _Kept, begun_at: int | None, pending: _Pending) -> None:
        """A mail began, or is over: those that follow it are looked at."""
        kept.begun_at = begun_at
        self._leave(kept)
        for one in self._following(kept):
            if one.look != ENDING:
                self._take(one, pending)

    def _leave(self, kept: _Kept) -> None:
        kept.waits = False
        del self._waiting[kept.mail.id]
        mine = self._of[kept.mail.play]
        del mine[kept.mail.id]
        if not mine:
            del self._of[kept.mail.play]

    def _contender(self, kept: _Kept) -> Contender:
        chain = self._chains[kept.mail.play, kept.mail.address]
        before = [Earlier(one.begun_at, one.waits, one.mail.waited) for one in chain[: chain.index(kept)]]
        return Contender(kept.mail, due(kept.mail, before))

    def _following(self, kept: _Kept) -> list[_Kept]:
        chain = self._chains[kept.mail.play, kept.mail.address]
        return [one for one in chain[chain.index(kept) + 1 :] if one.waits]

    def _put(self, kept: _Kept, look: int) -> None:
        kept.look = look
        heapq.heappush(self._looks, (look, kept.mail.id))
