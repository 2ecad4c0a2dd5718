"""The store of one partition's plays and profiles on the database, for the pure plays.

A batch reads in one transaction, renders outside of any, and writes in another; `verify` makes sure that nobody changed
its plays in between. Its plays live in an identity map: the pure code sees its own changes before they are written.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence

import msgspec
from sqlalchemy import Connection, func, select, tuple_

from backbone.database import upsert
from backbone.ownership import Fenced
from schemas.profile import Profile
from services.actions.plays.model import LIVE, ActionDraft, DigestItem, DraftRendering, Op, Play, Sighting
from services.actions.plays.outgoing import is_mail
from services.actions.plays.ports import Stands
from services.actions.storage import digests, search_columns, task_rows
from services.actions.storage.approvals import ApprovalQueue
from services.actions.storage.batch_holds import BatchHolds
from services.actions.storage.erasure import ToErase, erase, is_about
from services.actions.storage.partition_mails import MailOffice, PartitionMails
from services.actions.storage.rows import PLAY_COLUMNS, play_of, play_row
from services.actions.storage.sightings import Sightings
from services.actions.storage.standing import Standing
from services.actions.storage.status import change_plays, new_plays
from services.actions.storage.write_batch import Content, FlushResult, render_ops, write_ops
from services.actions.tables import accounts, plays

NEVER = 2**62
PAGE = 200
CHUNK = 500
LAST = "~"  # sorts after every id

_profile = msgspec.json.Decoder(Profile).decode
_profile_json = msgspec.json.Encoder().encode


class PlayStore:
    """Implements `plays.ports.Store`. `connect` gives the batch's connection, and opens its transaction if need be."""

    def __init__(
        self,
        partition: int,
        partitions: int,
        connect: Callable[[], Connection],
        holds: BatchHolds | None = None,
        office: MailOffice | None = None,
    ) -> None:
        """`office`: with the log clock, for the mails that wait."""
        self.partition, self._partitions, self._connect = partition, partitions, connect
        self.mails = PartitionMails(partition, office, connect, self.profile)
        self._standing = Standing(holds, partition)
        self.approvals = ApprovalQueue(partition, connect, self._standing, self.play)
        self.next_approval = self.approvals.next
        self.floor = 0  # every wait that falls due before this moment is in memory
        self.watched_from = 0  # the caller's clock, less what may be late: older goals are not loaded
        self.ops: list[Op] = []
        self._forget()

    def _forget(self) -> None:
        self._plays: dict[str, Play] = {}
        self._loaded_as: dict[str, tuple[str, int | None]] = {}  # status and release, as they are stored
        self._erasures: list[ToErase] = []
        self._gone: set[tuple[str, str | None]] = set()  # (account, contact) erased; contact None: all of it
        self._absent: set[str] = set()  # plays that the database does not have
        self._new: dict[str, None] = {}  # in the order in which they came
        self._changed: set[str] = set()
        self._live: dict[str, set[str]] = {}  # accounts whose live plays are in memory
        self._tasked: set[str] = set()  # plays with open tasks, mails that wait, or items of digests
        self._profiles: dict[str, Profile | None] = {}
        self._new_profiles: set[str] = set()
        self._fresh: set[str] = set()  # of these, the ones that the database does not have
        self._sightings = Sightings(self.partition, self._connect)
        self._content: Content = {}
        self._waits: list[tuple[int, str]] = []
        self._put_off: set[str] = set()
        self._loaded = (-1, "")  # the waits up to this (due, id) are in memory

    @property
    def dirty(self) -> bool:
        """Whether there is something to write."""
        return bool(
            self.ops
            or self._new
            or self._changed
            or self._new_profiles
            or self._erasures
            or self._sightings.dirty
            or self.mails.dirty
        )

    # -- loading ahead

    def preload(self, names: Iterable[str], digests: Iterable[bytes], started: Iterable[str]) -> None:
        """Fetch in few queries what a batch will ask for.

        `names`: accounts whose live plays and profiles are fetched. `digests`: hashes of events, for their sightings.
        `started`: ids of plays.
        """
        wanted = [name for name in dict.fromkeys(names) if name not in self._live]
        for start in range(0, len(wanted), CHUNK):
            self._load_accounts(wanted[start : start + CHUNK])
        self._sightings.preload(digests)
        asked = [play for play in dict.fromkeys(started) if play not in self._plays]
        for start in range(0, len(asked), CHUNK):
            part = asked[start : start + CHUNK]
            query = select(plays.c.id).where(plays.c.id.in_(part))
            self._absent.update(set(part).difference(self._connect().scalars(query)))

    def _load_accounts(self, names: Sequence[str]) -> None:
        conn = self._connect()
        tasked = task_rows.plays_left_open(conn, names) | digests.plays_waiting(conn, names)
        self._tasked |= tasked
        watched = (plays.c.goal_until >= self.watched_from) & plays.c.goal_reached_at.is_(None)
        self._live |= {name: set() for name in names}
        mine = select(*PLAY_COLUMNS).where(plays.c.account.in_(names))
        # One query for each, since each has its index.
        for which in (plays.c.status.in_(LIVE), watched, *([plays.c.id.in_(tasked)] if tasked else ())):
            for row in conn.execute(mine.where(which)):
                self._remember(play_of(row))
        self._profiles |= dict.fromkeys(name for name in names if name not in self._profiles)
        found = conn.execute(
            select(accounts.c.account, accounts.c.profile).where(accounts.c.account.in_(names))
        )
        for account, profile in found:
            if account not in self._new_profiles:
                self._profiles[account] = _profile(profile)

    def _remember(self, play: Play) -> Play:
        """Keep a play that was loaded; if it is in memory already, that one stays."""
        if play.id in self._plays:
            return self._plays[play.id]
        if self._is_gone(play):
            return play
        self._plays[play.id] = play
        self._loaded_as[play.id] = (play.status, play.released)
        if play.account in self._live:
            self._live[play.account].add(play.id)
        if play.wait is not None:
            heapq.heappush(self._waits, (play.wait.due, play.id))
        return play

    def hold(self, play: str) -> Play | None:
        """One play, locked until the transaction ends, for changes from outside the worker."""
        row = (
            self._connect()
            .execute(select(*PLAY_COLUMNS).where(plays.c.id == play).with_for_update())
            .one_or_none()
        )
        if row is None:
            return None
        self._live[row.account] = set()
        return self._remember(play_of(row))

    # -- the port

    def profile(self, account: str) -> Profile | None:
        if account not in self._profiles:
            self._load_accounts([account])
        return self._profiles[account]

    @property
    def fresh_accounts(self) -> int:
        """How many accounts this batch adds."""
        return len(self._fresh)

    def put_profile(self, profile: Profile) -> None:
        if self.profile(profile.id) is None:
            self._fresh.add(profile.id)
        self._profiles[profile.id] = profile
        self._new_profiles.add(profile.id)

    def sighted(self, digest: bytes) -> Sighting | None:
        return self._sightings.get(digest)

    def put_sighting(self, digest: bytes, sighting: Sighting) -> None:
        self._sightings.put(digest, sighting)

    def play(self, play: str) -> Play | None:
        if play in self._absent and play not in self._plays:
            return None
        if play not in self._plays:
            row = self._connect().execute(select(*PLAY_COLUMNS).where(plays.c.id == play)).one_or_none()
            return None if row is None else play_of(row)
        return self._plays[play]

    def live_plays(self, account: str) -> list[Play]:
        if account not in self._live:
            self._load_accounts([account])
        found = (self._plays[one] for one in self._live[account] if one in self._plays)
        return [play for play in found if play.status in LIVE or play.id in self._tasked]

    def watched_plays(self, account: str) -> list[Play]:
        if account not in self._live:
            self._load_accounts([account])
        found = (self._plays[one] for one in sorted(self._live[account]) if one in self._plays)
        return [play for play in found if play.goal_until is not None and play.goal_reached_at is None]

    def put_play(self, play: Play) -> None:
        if play.account not in self._live:
            self._load_accounts([play.account])
        if play.id not in self._plays:
            self._new[play.id] = None
        elif play.id not in self._new:
            self._changed.add(play.id)
        self._plays[play.id] = play
        self._live[play.account].add(play.id)
        if play.wait is not None:
            heapq.heappush(self._waits, (play.wait.due, play.id))

    def next_wait(self, upto: int) -> Play | None:
        while True:
            first = self._first_wait()
            if first is not None and first <= self._loaded:
                return self._plays[first[1]] if first[0] <= upto else None
            if self._loaded >= (upto, LAST) or upto < self.floor:
                return self._plays[first[1]] if first is not None and first[0] <= upto else None
            self._load_waits(upto)

    def next_digest(self, upto: int) -> None:
        """None: all partitions together send them."""

    def put_off(self, play: str) -> None:
        self._put_off.add(play)

    def recall(self, stands: Stands) -> None:
        self.mails.recall(stands)
        for play in self._put_off:
            held = self._plays.get(play)
            if held is not None and held.wait is not None:
                heapq.heappush(self._waits, (held.wait.due, play))
        self._put_off.clear()

    def _first_wait(self) -> tuple[int, str] | None:
        """The earliest wait in memory; entries of waits that are over are dropped on the way."""
        while self._waits:
            due, play = self._waits[0]
            held = self._plays.get(play)
            if held is not None and self._awaits(held, due):
                return due, play
            heapq.heappop(self._waits)
        return None

    def _awaits(self, play: Play, due: int) -> bool:
        """Whether a play goes on at this moment, as far as is known."""
        at = None if play.wait is None or play.status not in LIVE else play.wait.due
        return at == due and play.id not in self._put_off and not self._standing.still(play)

    def _load_waits(self, upto: int) -> None:
        """Load the partition's next page of waits, in order."""
        query = (
            select(*PLAY_COLUMNS)
            .where(
                plays.c.partition == self.partition,
                plays.c.due_at >= self._loaded[0],
                plays.c.due_at <= upto,
                tuple_(plays.c.due_at, plays.c.id) > tuple_(*self._loaded),
                *self._standing.going(),
            )
            .order_by(plays.c.due_at, plays.c.id)
            .limit(PAGE)
        )
        rows = self._connect().execute(query).all()
        for row in rows:
            self._remember(play_of(row))
        full = len(rows) == PAGE
        self._loaded = (rows[-1].due_at, rows[-1].id) if full else (upto, LAST)
        if not full:
            later = select(func.min(plays.c.due_at)).where(
                plays.c.partition == self.partition, plays.c.due_at > upto, *self._standing.going()
            )
            self.floor = self._connect().scalar(later) or NEVER

    def next_look(self, upto: int) -> int | None:
        return self.mails.next_look(upto)

    def look(self, at: int, stands: Stands) -> None:
        self.mails.look(at, stands)

    def do(self, op: Op) -> None:
        self.approvals.hear(op)
        if isinstance(op, DigestItem) or (isinstance(op, ActionDraft) and (op.makes_task or is_mail(op))):
            self._tasked.add(op.play)
        self.mails.hear(op, self._new)
        self.ops.append(op)

    # -- erasure

    def erase_account(self, account: str) -> None:
        known = self.profile(account)
        addresses = [] if known is None else [contact.email for contact in known.contacts.values()]
        self._erasures.append(ToErase(account, None, addresses))
        self.mails.gone(account, None)
        self._gone.add((account, None))
        self._live.setdefault(account, set())
        self._drop({play.id for play in self._plays.values() if play.account == account})
        self.ops = [op for op in self.ops if not is_about(op, account)]
        self._profiles[account] = None
        self._new_profiles.discard(account)
        self._fresh.discard(account)

    def erase_contact(self, account: str, contact: str) -> None:
        known = self.profile(account)
        person = None if known is None else known.contacts.get(contact)
        addresses, name = ([], None) if person is None else ([person.email], person.name)
        self._erasures.append(ToErase(account, contact, addresses, name))
        self.mails.gone(account, contact)
        self._gone.add((account, contact))
        doomed = {p.id for p in self._plays.values() if p.account == account and p.contact == contact}
        self._drop(doomed)
        self.ops = [op for op in self.ops if not is_about(op, account, contact, doomed)]

    def _is_gone(self, play: Play) -> bool:
        """Whether this batch erases the play from the database."""
        return (play.account, None) in self._gone or (play.account, play.contact) in self._gone

    def _drop(self, doomed: set[str]) -> None:
        for play in doomed:
            self._plays.pop(play, None)
        self._new = {play: None for play in self._new if play not in doomed}
        self._changed -= doomed
        self._tasked -= doomed
        for held in self._live.values():
            held -= doomed

    # -- writing

    def render(self, renderer: DraftRendering, stay: Callable[[], None]) -> None:
        """Render the drafts. That takes time; no transaction should be open meanwhile."""
        self._content = render_ops(self.ops, renderer, stay, self.mails.content)

    def verify(self, conn: Connection) -> None:
        """Raise `Fenced` if somebody else has changed a play of this batch since it was loaded."""
        changed = sorted(self._changed)
        for start in range(0, len(changed), CHUNK):
            part = changed[start : start + CHUNK]
            columns = select(plays.c.id, plays.c.status, plays.c.released)
            query = columns.where(plays.c.id.in_(part)).with_for_update()
            now = {row.id: (row.status, row.released) for row in conn.execute(query)}
            if now != {one: self._loaded_as[one] for one in part}:
                raise Fenced(f"a play of partition {self.partition} was changed by hand meanwhile")

    def flush(self, conn: Connection, now: int) -> FlushResult:
        """Write everything that was put. `now`: wall clock."""
        for erasure in self._erasures:
            erase(conn, erasure, now)
        if self._new:
            new_plays(conn, [play_row(self._plays[one]) for one in self._new])
        if self._changed:
            change_plays(conn, [play_row(self._plays[one]) for one in sorted(self._changed)])
        if self._new_profiles:
            upsert(
                conn, accounts, [self._account_row(one) for one in sorted(self._new_profiles)], ["account"]
            )
        self._sightings.flush(conn)
        due = self.mails.flush(conn, now)  # first: what began did so before an exit of this batch
        written = write_ops(
            conn,
            self.ops,
            self._content,
            partition=self.partition,
            partitions=self._partitions,
            now=now,
            mails=self.mails,
        )
        written.due += due
        return written

    def end(self, *, committed: bool) -> None:
        """The transaction is over: forget the batch. After a rollback, nothing in memory counts."""
        waiting = [play for play in self._plays.values() if play.wait is not None]
        dues = [play.wait.due for play in waiting if play.wait and not self._standing.known_still(play)]
        self.floor = min([self.floor, *dues]) if committed else 0
        self.approvals.end(committed=committed)
        self.ops = []
        self.mails.end(committed=committed)
        self._forget()

    def plays_written(self) -> list[Play]:
        """The plays that this batch started, moved on or ended; to be called before `end`."""
        moved = (one for one in self._changed if self._loaded_as[one][0] in LIVE)
        return [self._plays[one] for one in (*self._new, *moved)]

    def _account_row(self, account: str) -> dict[str, object]:
        profile = self._profiles[account]
        assert profile is not None  # noqa: S101  put by put_profile
        return {
            "account": account,
            "partition": self.partition,
            "profile": _profile_json(profile),
            "owner": search_columns.owner(profile),
        }
