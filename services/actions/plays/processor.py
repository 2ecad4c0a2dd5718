"""The plays of one partition: the two topics in their merged order, the clock, waits in order of time. Pure.

The worker runs it on the database, `touchline test` in memory. It advances by small steps (a wait that fell due, an
event, a trigger), so that its caller may stop and commit between any two.
"""

from typing import Literal

from schemas.event import CLOCK, MERGED, OWN_PREFIX, RESERVED, RULES_PAUSED, RULES_SAVED, Event, instant
from schemas.forwarding import ERASED, close, erased_of, take_in
from schemas.play_reasons import PlayReason
from schemas.profile import Profile, apply_update, contact_of
from schemas.trigger import Moved, Trigger
from services.actions.plays import goals
from services.actions.plays.admission import Holds
from services.actions.plays.dedup import repeats, time_of
from services.actions.plays.interpreter import Interpreter
from services.actions.plays.merge import EventItem, MergedOrder, TriggerItem
from services.actions.plays.model import NotApproved, Play
from services.actions.plays.ports import Library, Store
from services.actions.plays.rule_pauses import RulePauses, RulePlays

OF_RULES = frozenset({RULES_SAVED, RULES_PAUSED})
GRACE_US = 1_000_000  # the wall clock is kept this slow, so that an event posted just in time still counts

FOREVER = 1 << 62  # a time after all times
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
        merge: MergedOrder | None = None,
        clock: int = 0,
        holds: Holds | None = None,
        of_rules: RulePlays | None = None,
    ) -> None:
        self.number, self.mode, self.clock = number, mode, clock
        self.merge = merge or MergedOrder()
        self._store, self._library = store, library
        # (time, receipt time) of the events that started plays; the caller empties it.
        self.answered: list[tuple[int, int]] = []
        self._received = 0  # receipt time of the event applied last
        # Events of an account that was merged into one here may still be under way from another partition. A wait goes
        # on until all of them from before its moment have arrived. Up to `cleared` they have.
        self.cleared = FOREVER
        self.held = False  # whether some wait had to go on since the caller last looked
        self._interpreter = Interpreter(store, library, number, log_clock=mode == "log", holds=holds)
        self.pauses: RulePauses | None = None
        if of_rules is not None:  # what a pause ends was not begun by any clock: nothing more of it is sent
            ending = Interpreter(store, library, number, holds=holds)
            self.pauses = RulePauses(of_rules, store, ending, number)

    def step(self) -> bool:
        """Apply the next item in order, or a wait that is due before it. False if nothing can be applied now."""
        head = self.merge.head()
        if head is None or self._changing():
            return False
        if isinstance(head, TriggerItem):
            return self._trigger_step(head)
        upto = self._clock_of(head)
        if self._run_digests(upto) or self._run_wait(upto) or self._run_digests(upto):
            return True
        self.clock, self._received = upto, head.timestamp
        if head.event is not None and head.event.type in OF_RULES and self.pauses is not None:
            done = self.pauses.apply(head.event, self.clock)
            if not done:
                return done is not None
        elif head.event is not None:
            self._event(head.event)
        self._mails(self.clock)
        self.merge.take()
        return True

    def advance_to(self, now: int) -> bool:
        """Run a wait that is due, if everything offered has been applied; returns whether there was one.

        For the wall clock, once every event that was posted before `now` has been offered. Call again until False.
        """
        if self.mode != "wall" or not self.merge.caught_up() or self._changing():
            return False
        upto = max(self.clock, now - GRACE_US)
        if self._run_wait(upto, late=True):
            return True
        self.clock = upto
        return False

    def catch_up(self) -> bool:
        """Run a wait that was over before, for its play stood still or was held; returns whether there was one.

        For a play that goes on since somebody said so, once everything offered has been applied. Call again until
        False.
        """
        return self.merge.caught_up() and not self._changing() and self._run_wait(self.clock, late=True)

    def _changing(self) -> bool:
        """Whether a rule begins to hold its plays here, or lets them go on: that is committed by itself."""
        return self.pauses is not None and self.pauses.changing

    def _clock_of(self, item: EventItem) -> int:
        """The partition's clock once this record is applied."""
        if self.mode == "wall":
            return max(self.clock, item.timestamp - GRACE_US)
        event = item.event
        if event is None:
            return self.clock
        if event.type.startswith(OWN_PREFIX) and event.type != CLOCK:
            return self.clock
        return max(self.clock, time_of(event))

    def _run_digests(self, upto: int) -> bool:
        """Let the digests that are due first go out, if that is by `upto` and no wait runs out before; returns whether
        there were any."""
        due = self._store.next_digest(upto)
        if due is None:
            return False
        play = self._store.next_wait(due.moment)
        if play is not None and play.wait is not None and play.wait.due < due.moment:
            return False
        due.send(self._library)
        return True

    def _run_wait(self, upto: int, *, late: bool = False) -> bool:
        """Run the wait that falls due first, if by `upto`; returns whether there was one.

        `late`: also one that was over long ago, for its play was held or stood still. It goes on once everything that
        came before somebody said so has been applied: that may end the play.
        """
        if late:
            self._store.recall(self._stands)
        while (play := self._store.next_wait(upto)) is not None and play.wait is not None:
            if not late and self._is_late(play):
                self._store.put_off(play.id)
                continue
            if play.wait.due <= self.cleared or not self._takes_others(play.account):
                at = upto if self._is_late(play) else play.wait.due
                if not self._mails(at):
                    self._interpreter.resume(play, at)
                    self._mails(at)
                return True
            self._store.put_off(play.id)
            self.held = True
        return self._mails(upto)

    def _mails(self, upto: int) -> bool:
        """Give up the approvals whose time is over by a moment, and with the log clock look at the mails that are due;
        in order of time. Returns whether there were any. Of equal moments, an approval's comes first, then a mail's,
        which comes right after its step, then the waits'."""
        any_ = False
        while True:
            look = self._store.next_look(upto) if self.mode == "log" else None
            if not self._run_approval(upto if look is None else look):
                if look is None:
                    return any_
                self._store.look(max(look, self.clock), self._stands)
            any_ = True

    def look_back(self, since: int) -> bool:
        """With the log clock: look at the mails of digests that were put together after their moments, from `since` on,
        each at its own moment; returns whether there were any."""
        any_ = False
        while not self._changing() and (look := self._store.next_look(self.clock)) is not None:
            self._store.look(look if look >= since else self.clock, self._stands)
            any_ = True
        return any_

    def _stands(self, play: str) -> bool:
        """Whether nothing of a play is sent now, for its playbook or its rule is paused."""
        found = self._store.play(play)
        return found is not None and self._interpreter.admission.standing(found) is not None

    def _run_approval(self, upto: int) -> bool:
        """Give up the approval whose time is over first, if by `upto`; returns whether there was one."""
        found = self._store.next_approval(upto)
        if found is None:
            return False
        play = self._store.play(found.play)
        late = play is not None and self._stood(play, found.until)
        at = max(found.until, self.clock) if late else found.until
        self._store.do(NotApproved(found.action, found.play, found.until, at))
        return True

    def _is_late(self, play: Play) -> bool:
        """Whether the play's wait may have been over before now, for it was held or stood still."""
        return play.wait is not None and self._stood(play, play.wait.due)

    def _stood(self, play: Play, due: int) -> bool:
        """Whether what was due then may have been put off, for the play was held or stood still.

        By the wall clock, the partition's clock may be old where nothing happened: then nobody can tell.
        """
        return (self.mode == "wall" or due < self.clock) and self._interpreter.admission.stood(play)

    def _takes_others(self, account: str) -> bool:
        """Whether accounts were merged into this one."""
        known = self._store.profile(account)
        return known is not None and bool(known.absorbed)

    def _trigger_step(self, item: TriggerItem) -> bool:
        """Start a play, or carry out a decision of rules about a merge. With the log clock, the waits of the account
        that fall due before the play run first."""
        trigger = item.trigger
        if isinstance(trigger, Moved):
            if not self.merge.repeated(item):
                self._moved(trigger)
        elif not self.merge.repeated(item):
            now = max(self.clock, instant(trigger.at))
            if self.mode == "log" and (self._run_wait_of(trigger, now) or self._mails(now)):
                return True
            play = self._interpreter.start(trigger, now)
            if self.mode == "log":
                self._mails(now)
            if play is not None and play.status in {"open", "finished"} and trigger.event_id is not None:
                self.answered.append((instant(trigger.at), self._received))
        self.merge.take()
        return True

    def _run_wait_of(self, trigger: Trigger, upto: int) -> bool:
        """Run the account's first wait that is due by `upto`; returns whether there was one."""
        waiting = [
            (play.wait.due, play.id, play)
            for play in self._store.live_plays(trigger.account)
            if play.wait is not None and play.wait.due <= upto
            if not self._is_late(play) and not self._interpreter.stands_still(play)
        ]
        if not waiting:
            return False
        due, _, play = min(waiting, key=lambda one: one[:2])
        if not self._mails(due):
            self._interpreter.resume(play, due)
            self._mails(due)
        return True

    def _event(self, event: Event) -> None:
        """Apply an event: to the profile first, then to the account's plays. Repeats change nothing."""
        account = event.account
        if account is None or not self.concerns(event.type):
            return
        known = self._store.profile(account)
        if event.type == ERASED or (known is not None and known.closed is not None):
            self._closed(account, known, event)
            return
        if event.type == "account.deleted":  # even a repeat: nothing that came in between may stay
            self._store.erase_account(account)
            return
        awaited = event.mergedfrom is None or (known is not None and event.mergedfrom in known.absorbed)
        if event.type == MERGED or not awaited or repeats(self._store, event, known, self.clock):
            return
        if event.type in RESERVED:
            self._update(account, event)
        profile = self._store.profile(account) or Profile(id=account)
        for play in self._watched(account):
            self._interpreter.watch(play, event, profile)
        for play in sorted(self._store.live_plays(account), key=lambda one: (one.started_at, one.id)):
            self._interpreter.on_event(play, event, profile, self.clock)

    def _watched(self, account: str) -> list[Play]:
        """The account's plays whose goal an event may reach now."""
        return [play for play in self._store.watched_plays(account) if goals.is_watched(play, self.clock)]

    def _closed(self, account: str, known: Profile | None, event: Event) -> None:
        """Apply an event of an account that was merged into another one; only erasures change anything here."""
        closing = known.closed if known is not None else None
        what = erased_of(event) if event.type == ERASED else None
        if closing is None or (event.type == ERASED and (what is None or what.into != closing.into)):
            return
        contact = contact_of(event) if what is None else what.contact
        # The contact for whom a lone account stood, if there was one.
        person = what is not None and contact == closing.contact
        if event.type == "account.deleted" or person or (what is not None and contact is None):
            self._store.erase_account(account)
        elif contact is not None and (what is not None or event.type == "contact.deleted"):
            self._store.erase_contact(account, contact)

    def _moved(self, moved: Moved) -> None:
        """Apply a decision about a merge: an account was closed, opened anew, or took another one in."""
        profile = self._store.profile(moved.account) or Profile(id=moved.account)
        if moved.absorbed is not None:
            take_in(profile, moved.absorbed)
        elif moved.closed is not None:
            close(profile, moved.closed)
            for play in sorted(
                self._store.live_plays(moved.account), key=lambda one: (one.started_at, one.id)
            ):
                self._interpreter.leave(play, PlayReason.ACCOUNT_MERGED, self.clock)
            for play in self._watched(moved.account):
                if goals.stop(play, self.clock):
                    self._store.put_play(play)
        else:
            profile.closed = None
        self._store.put_profile(profile)

    def stands_still(self, play: Play) -> bool:
        """Whether an open play may not go on now, for its playbook or its rule is paused."""
        return self._interpreter.stands_still(play)

    def concerns(self, type_: str) -> bool:
        """Whether events of this type can change anything here."""
        return type_ in RESERVED or type_ == ERASED or self._library.watches(type_)

    def _update(self, account: str, event: Event) -> None:
        if event.type == "contact.deleted":
            contact = contact_of(event)
            if contact is not None:
                self._store.erase_contact(account, contact)
            if self._store.profile(account) is None:
                return  # there is no account whose contact could be forgotten, and none is made for that
        profile = self._store.profile(account) or Profile(id=account)
        apply_update(profile, event)
        self._store.put_profile(profile)
