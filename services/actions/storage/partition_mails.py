"""The mails to contacts that wait in one partition, with the log clock: read, judged and written with its batches.

What waits is loaded once the clock reaches its look, with all mails of its play to the same recipient; what began, with
the address or account that a cap counts it for. A new mail is rendered as soon as its step has run: one that cannot
be rendered never begins, and no cap counts it.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from backbone.ownership import Fenced
from schemas.profile import Profile
from services.actions.plays.model import (
    ActionDraft,
    Cancel,
    DraftRendering,
    NotApproved,
    Op,
    Rendered,
    RenderFailure,
    RenderJob,
)
from services.actions.plays.outgoing import Outgoing, is_mail, waits
from services.actions.plays.ports import Stands
from services.actions.policy.mails import Begun, WaitingMail
from services.actions.policy.queue import STANDS
from services.actions.policy.rules import NEVER, SendingPolicy
from services.actions.storage import beginnings, digest_mails, digests, sending, suppressions, waiting
from services.actions.storage.sending_policy import PolicyReader
from services.actions.storage.status import close_each
from services.actions.storage.suppressions import Hasher


class MailOffice(msgspec.Struct, frozen=True):
    """What the partitions of a worker share for their mails."""

    hasher: Hasher
    renderer: DraftRendering
    reader: PolicyReader
    begun: dict[int, dict[str, Begun]] = {}  # in the batch that goes on, by partition


class PartitionMails:
    """The mails of a partition as a batch sees them. `connect` gives the batch's connection.

    `office`: None by the wall clock, by which delivery lets mails begin, and all this does nothing.
    """

    def __init__(
        self,
        partition: int,
        office: MailOffice | None,
        connect: Callable[[], Connection],
        profile: Callable[[str], Profile | None],
    ) -> None:
        self._partition, self._office, self._connect, self._profile = partition, office, connect, profile
        self.floor = 0  # every mail that is looked at before this moment is in memory
        self._forget()

    def _forget(self) -> None:
        self._read: tuple[SendingPolicy | None] | None = None  # the policy, once this batch has asked
        self._outgoing = Outgoing(self._profile, str if self._office is None else self._office.hasher.digest)
        self._plays: set[str] = set()  # whose mails are in memory
        self._stored: dict[str, tuple[int, str | None]] = {}  # look and reason of mails, as they are stored
        self._addresses: set[str] = set()  # for which it is in memory what began, and so for the accounts
        self._accounts: set[str] = set()
        self._known: set[tuple[str, int]] = set()  # beginnings that are stored
        self._begun: dict[str, tuple[int, WaitingMail]] = {}
        self._skipped: dict[str, tuple[str, int]] = {}
        self._anew: set[str] = set()  # mails of digests that were taken back
        self.content: dict[str, Rendered | RenderFailure] = {}

    # -- as the batch goes on

    @property
    def by_log(self) -> bool:
        """Whether mails begin by the log clock."""
        return self._office is not None

    @property
    def _policy(self) -> SendingPolicy | None:
        if self._office is None:
            return None
        if self._read is None:
            self._read = (self._office.reader.current(self._connect()),)
            self._outgoing.policy = self._read[0]
        return self._read[0]

    def hear(self, op: Op, new_plays: Container[str]) -> None:
        """Take note of what a step left. `new_plays`: those of which nothing is stored."""
        if self._office is None:
            return
        if isinstance(op, ActionDraft) and (waits(op, self._policy) or (op.approval and is_mail(op))):
            self._take(op, self._office, new_play=op.play in new_plays)
        elif isinstance(op, NotApproved):  # others of its play may wait for it
            self._load_plays([op.play])
            self._outgoing.queue.drop(op.action, op.at)
        elif isinstance(op, Cancel):
            for one in self._outgoing.cancel(op.play, op.at):
                self._skipped.pop(one, None)  # its row is changed by the op itself

    def _take(self, draft: ActionDraft, office: MailOffice, *, new_play: bool) -> None:
        answer = office.renderer.render_many([RenderJob(draft=draft)])[0]
        self.content[draft.id] = answer
        if isinstance(answer, RenderFailure):
            return
        if not new_play:
            self._load_plays([draft.play])
        self._plays.add(draft.play)
        if draft.approval is not None:
            self._outgoing.await_(draft)
        else:
            self._outgoing.take(draft)

    def next_look(self, upto: int) -> int | None:
        """See `ports.Store`."""
        if self._office is None:
            return None
        if upto >= self.floor:
            self._load(upto)
        return self._outgoing.next_look(upto)

    def look(self, at: int, stands: Stands) -> None:
        """See `ports.Store`."""
        if self._office is None:
            return
        near = self._outgoing.queue.due_by(at)
        self._load_past(near)
        blocked = suppressions.suppressed(self._connect(), {(one.address, one.topic) for one in near})
        for one in [one for mine in self._office.begun.values() for one in mine.values()]:
            self._outgoing.queue.past.add(one)
        here = self._office.begun.setdefault(self._partition, {})
        changed = digest_mails.changed(self._connect(), [one.id for one in near], self._office.hasher)

        def anew(name: str) -> bool:
            if name in changed:
                self._anew.add(name)
            return name in changed

        for mail, turn in self._outgoing.look(at, stands, blocked, anew):
            if turn.begins:
                self._begun[mail.id] = (at, mail)
                here[mail.id] = mail.begun(at)
            elif turn.skipped and turn.reason is not None:
                self._skipped[mail.id] = (turn.reason.value, at)
        for name in self._anew:
            self._outgoing.queue.drop(name, at)

    def recall(self, stands: Stands) -> None:
        """Look again at the mails of plays that stood still, and do so no more."""
        if self._office is not None:
            self._load(STANDS)
            self._outgoing.recall(0, stands)

    def gone(self, account: str, contact: str | None) -> None:
        """Forget the mails of an account or a contact that is erased."""
        for mail in list(self._outgoing.queue.waiting()):
            if mail.account == account and contact in (None, mail.contact):
                self._outgoing.queue.drop(mail.id, 0)
        for name, (_, mail) in list(self._begun.items()):
            if mail.account == account and contact in (None, mail.contact):
                del self._begun[name]
                if self._office is not None:
                    del self._office.begun[self._partition][name]

    # -- reading

    def _load(self, upto: int) -> None:
        rows = waiting.looks(self._connect(), self._partition, upto)
        self.floor = waiting.next_look(self._connect(), self._partition, upto) or NEVER
        self._load_plays({row.play for row in rows} - self._plays)

    def _load_plays(self, plays: Iterable[str]) -> None:
        """Load all mails of these plays that wait or began, in the order of their steps."""
        wanted = sorted(set(plays) - self._plays)
        self._plays.update(wanted)
        if self._office is None:
            return
        for row in waiting.of_plays(self._connect(), wanted):
            mail = waiting.mail_of(row, None, self._office.hasher)
            if row.begun_at is not None:
                self._outgoing.queue.remember(mail, row.begun_at)
            elif row.waits and row.next_look_at is not None:
                self._stored[mail.id] = (row.next_look_at, row.reason)
                self._outgoing.queue.add(mail, row.next_look_at)
            elif row.waits:  # somebody has to look at it first
                mail.awaits = True
                self._outgoing.queue.add(mail, NEVER)

    def _load_past(self, mails: Sequence[WaitingMail]) -> None:
        policy = self._policy
        if policy is None or not policy.caps:
            return
        fresh = [one for one in mails if one.address not in self._addresses]
        if policy.by_account:
            fresh += [one for one in mails if one.account not in self._accounts]
        if not fresh:
            return
        since = min(one.ran_at for one in fresh) - policy.longest
        for begun in beginnings.past(self._connect(), fresh, since, by_account=policy.by_account).all():
            self._known.add((begun.id, begun.at))
            self._outgoing.queue.past.add(begun)
        self._addresses |= {one.address for one in fresh}
        self._accounts |= {one.account for one in fresh}

    # -- writing

    @property
    def dirty(self) -> bool:
        """Whether something became of mails that are stored."""
        return bool(self._begun or self._skipped or self._anew or self._moved())

    def _moved(self) -> list[tuple[str | None, int, str]]:
        """Reason, next look and id of the stored mails that wait differently from before."""
        found = []
        for name, (look, reason) in self._stored.items():
            if name in self._outgoing.queue:
                now = (self._outgoing.queue.look_of(name), self._outgoing.queue.reason_of(name))
                if now != (look, reason):
                    found.append((now[1], now[0], name))
        return found

    @property
    def decided(self) -> bool:
        """Whether mails began or were skipped."""
        return bool(self._begun or self._skipped)

    def keys(self) -> tuple[set[str], set[str]]:
        """The addresses and accounts for which mails begin in this batch."""
        policy = self._policy if self._begun else None
        if policy is None or not policy.caps:
            return set(), set()
        begun = [one for _, one in self._begun.values()]
        return {one.address for one in begun}, {one.account for one in begun} if policy.by_account else set()

    def verify(self, conn: Connection) -> None:
        """Raise `Fenced` if the policy is another one by now, or a cap counts what this batch did not."""
        policy = self._policy
        if self._office is None or not (self._begun or self._skipped):
            return
        if self._office.reader.current(conn) != policy:
            raise Fenced("the sending policy was saved meanwhile")
        if policy is None or not policy.caps:
            return
        mails = [mail for _, mail in self._begun.values()]
        if not mails:
            return
        since = min(at for at, _ in self._begun.values()) - policy.longest
        found = beginnings.past(conn, mails, since, by_account=policy.by_account).all()
        if any((one.id, one.at) not in self._known for one in found):
            raise Fenced("mails to the same addresses began meanwhile")

    def columns(self, draft: ActionDraft, now: int) -> dict[str, Any]:
        """The columns of a new mail that differ, once it was looked at. `now`: wall clock, when delivery may take
        it."""
        queue = self._outgoing.queue
        if draft.id in self._begun:
            at = self._begun[draft.id][0]
            return {"begun_at": at, "waits": False, "next_look_at": None, "next_attempt_at": now}
        if draft.id in self._skipped:
            reason, at = self._skipped[draft.id]
            over = {"status": "skipped", "reason": reason, "done_at": at, "waits": False}
            return {**over, "next_look_at": None, "next_attempt_at": None}
        if draft.id in queue:
            why = {"reason": queue.reason_of(draft.id), "next_look_at": queue.look_of(draft.id)}
            return {**why, "waits": True, "next_attempt_at": None}
        return {}

    def flush(self, conn: Connection, now: int) -> int:
        """Write what became of the mails that were stored before, and what began; returns how many of those began.
        `now`: wall clock."""
        stored = [name for name in (*self._begun, *self._skipped) if name in self._stored]
        still = waiting.still(conn, stored) if stored else set()
        if self._anew:
            digests.take_back(conn, waiting.still(conn, sorted(self._anew)))
        begun = {name: one for name, one in self._begun.items() if name not in self._stored or name in still}
        before = [(at, now, name) for name, (at, _) in begun.items() if name in self._stored]
        waiting.begin(conn, before)
        over = [(*end, name) for name, end in self._skipped.items() if name in still]
        close_each(conn, [("skipped", reason, at, name) for reason, at, name in over])
        waiting.move(conn, self._moved())
        policy = self._policy if begun else None
        if policy is not None and policy.caps:
            beginnings.keep(conn, [mail.begun(at) for at, mail in begun.values()])
        return len(before)

    def end(self, *, committed: bool) -> None:
        """The transaction is over: forget the batch."""
        queue = self._outgoing.queue
        looks = [queue.look_of(one.id) for one in queue.waiting()]
        self.floor = min([self.floor, *looks]) if committed else 0
        if self._office is not None:
            self._office.begun.pop(self._partition, None)
        self._forget()


def verify(conn: Connection, mails: Sequence[PartitionMails]) -> None:
    """Until the transaction ends, no policy is saved, and nobody else begins mails that the same caps count. Raises
    `Fenced` if somebody did since they were read."""
    concerned = [one for one in mails if one.decided]
    if not concerned:
        return
    sending.lock_shared(conn)
    addresses, accounts = set[str](), set[str]()
    for one in concerned:
        to, of = one.keys()
        addresses |= to
        accounts |= of
    if addresses:
        suppressions.lock(conn, addresses, shared=False, accounts=accounts)
    for one in concerned:
        one.verify(conn)
