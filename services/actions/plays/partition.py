"""One partition of plays: the two topics in their one order, the clock, waits in time order. Pure.

The worker drives it against the database, `touchline test` against memory. It advances by small steps, so
that whoever drives it may stop (and commit) between any two: a wait that fell due, an event, a trigger.
"""

from hashlib import blake2b
from typing import Literal

from schemas.event import CLOCK, DAY_US, OWN_PREFIX, RESERVED, Event, instant, microseconds
from schemas.profile import Profile, apply_update, contact_of
from schemas.trigger import Trigger
from services.actions.plays.machine import Machine
from services.actions.plays.merge import EventItem, Merge, TriggerItem
from services.actions.plays.model import Sighting
from services.actions.plays.ports import Library, Store

GRACE_US = 1_000_000  # the wall clock runs this far behind: what was posted just in time still counts

REPEAT_US = 7 * DAY_US  # how long the same name with another time is taken for the same event

ClockMode = Literal["wall", "log"]


class PlaysPartition:
    """Applies a partition's events and triggers to its plays."""

    def __init__(
        self,
        number: int,
        *,
        mode: ClockMode,
        store: Store,
        library: Library,
        merge: Merge | None = None,
        clock: int = 0,
    ) -> None:
        self.number, self.mode, self.clock = number, mode, clock
        self.merge = merge or Merge()
        self._store, self._library = store, library
        self.answered: list[
            tuple[int, int]
        ] = []  # (time, receipt) of events that started plays; the caller drains it
        self._received = 0  # receipt of the event applied last
        self._machine = Machine(store, library, number, log_clock=mode == "log")

    def step(self) -> bool:
        """Apply the next thing in order: a wait due before it, or it. False when nothing can be applied
        now."""
        head = self.merge.head()
        if head is None:
            return False
        if isinstance(head, TriggerItem):
            return self._trigger_step(head)
        upto = self._clock_of(head)
        if self._run_wait(upto):
            return True
        self.clock, self._received = upto, head.timestamp
        if head.event is not None:
            self._event(head.event)
        self.merge.take()
        return True

    def beat(self, now: int) -> bool:
        """Wall clock, all that was posted before `now` has been offered: once it is applied, run a wait that is due.

        Returns whether there was one; call again until there is none.
        """
        if self.mode != "wall" or not self.merge.caught_up():
            return False
        upto = max(self.clock, now - GRACE_US)
        if self._run_wait(upto):
            return True
        self.clock = upto
        return False

    def _clock_of(self, item: EventItem) -> int:
        """Where the clock stands once this record is applied."""
        if self.mode == "wall":
            return max(self.clock, item.timestamp - GRACE_US)
        event = item.event
        if event is None:
            return self.clock
        if event.type.startswith(OWN_PREFIX) and event.type != CLOCK:
            return self.clock
        return max(self.clock, _time(event))

    def _run_wait(self, upto: int) -> bool:
        play = self._store.next_wait(upto)
        if play is None or play.wait is None:
            return False
        self._machine.resume(play, play.wait.due)
        return True

    def _trigger_step(self, item: TriggerItem) -> bool:
        """Start a play, after the waits of its account that fall due before it (log clock only)."""
        trigger = item.trigger
        if not self.merge.repeated(item):
            now = max(self.clock, instant(trigger.at))
            if self.mode == "log" and self._run_wait_of(trigger, now):
                return True
            play = self._machine.start(trigger, now)
            if play is not None and play.status != "skipped" and trigger.event_id is not None:
                self.answered.append((instant(trigger.at), self._received))
        self.merge.take()
        return True

    def _run_wait_of(self, trigger: Trigger, upto: int) -> bool:
        """Run the account's first wait that is due by `upto`; whether there was one."""
        waiting = [
            (play.wait.due, play.id, play)
            for play in self._store.live_plays(trigger.account)
            if play.status == "open" and play.wait is not None and play.wait.due <= upto
        ]
        if not waiting:
            return False
        due, _, play = min(waiting, key=lambda one: one[:2])
        self._machine.resume(play, due)
        return True

    def _event(self, event: Event) -> None:
        """Apply an event: the profile first, then what it ends. Repeats change nothing."""
        account = event.account
        if account is None or not self.concerns(event.type):
            return
        if self._repeats(event):
            return
        if event.type in RESERVED:
            self._update(account, event)
        profile = self._store.profile(account) or Profile(id=account)
        for play in sorted(self._store.live_plays(account), key=lambda one: (one.started_at, one.id)):
            self._machine.on_event(play, event, profile, self.clock)

    def _repeats(self, event: Event) -> bool:
        """Whether the event was there before: with the same time for good, with another for seven days."""
        name = digest(event)
        sighting = Sighting(time=_time(event), at=self.clock)
        before = self._store.sighted(name)
        if before is not None and (before.time == sighting.time or self.clock <= before.at + REPEAT_US):
            return True
        self._store.put_sighting(name, sighting)
        return False

    def concerns(self, type_: str) -> bool:
        """Whether events of this type can change anything here."""
        return type_ in RESERVED or self._library.watches(type_)

    def _update(self, account: str, event: Event) -> None:
        if event.type == "account.deleted":
            self._store.erase_account(account)
            return
        contact = contact_of(event)
        if event.type == "contact.deleted" and contact is not None:
            self._store.erase_contact(account, contact)
        profile = self._store.profile(account) or Profile(id=account)
        apply_update(profile, event)
        self._store.put_profile(profile)


def _time(event: Event) -> int:
    return 0 if event.time is None else microseconds(event.time)  # `decode` always gives a time


def digest(event: Event) -> bytes:
    """What names an event: account, source and id, as 16 bytes."""
    made = blake2b(digest_size=16)
    for part in (event.account or "", event.source, event.id):
        raw = part.encode("utf-8", "surrogatepass")
        made.update(len(raw).to_bytes(4, "big") + raw)
    return made.digest()
