"""Merges: closing an account, forwarding its events, and adding it to the account that goes on for it.

The closed account's partition decides, at the offset of `account.merged`. It tells actions (`Moved`) and the other
account (`ABSORBED`, with the contacts). From then on it forwards the closed account's events, without the repeats.
All these records leave with the batch, and are on the log in the order decided.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from schemas.event import (
    FORGOTTEN,
    LATE_US,
    MERGED,
    OWN_PREFIX,
    RESERVED,
    RULES_CONCERNED,
    Event,
    encode,
    from_microseconds,
)
from schemas.forwarding import (
    ABSORBED,
    ERASED,
    MAX_HOPS,
    SOURCE,
    Absorbed,
    Erased,
    absorbed_of,
    close,
    erased_of,
    in_pieces,
    names_of,
    sent_on,
)
from schemas.merging import Merge, is_lone_call, merge_of
from schemas.profile import Closing, contact_of, forget
from schemas.reasons import Reason
from schemas.trigger import Moved, Position, Trigger
from services.rules.engine.account_state import AccountState, retire
from services.rules.engine.by_hand import Asked, StartAnswer, StartRequest, start
from services.rules.engine.concerned import Concerned, concerned_in
from services.rules.engine.dedup import merged_before
from services.rules.engine.erasure import depart, forget_contact, forgotten_in
from services.rules.engine.eviction import sweep
from services.rules.engine.heartbeats import Heartbeat
from services.rules.engine.ports import AccountStates
from services.rules.engine.ruleset import RuleSet
from services.rules.engine.seen_events import SeenEvents

SPECIAL = frozenset({MERGED, ABSORBED, ERASED})
UPDATES = frozenset({"account.updated", "contact.updated"})
# bytes of a forwarded event: as many as a reader accepts in any event, and a little for its origin
MAX_BYTES = 516 << 10


class ForwardedRecord(NamedTuple):
    """A record for `touchline.events`, for an account that may be in another partition.

    `cause`: the offset that it follows from; `at`: the clock then.
    """

    cause: int
    at: int
    account: str
    value: bytes


class ErasedAt(NamedTuple):
    """An account, or a contact of it, was erased at an offset."""

    offset: int
    account: str
    contact: str | None


@dataclass(slots=True)
class MergeOutput:
    """What a partition's engine produces besides triggers and states, in the order decided."""

    sent: list[ForwardedRecord] = field(default_factory=list)
    # the offset of the event, and what came of it
    moved: list[tuple[int, Moved]] = field(default_factory=list)
    erased: list[ErasedAt] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)  # triggers whose plays are no longer kept
    concerned: list[Concerned] = field(default_factory=list)  # what pauses of rules met in actions
    started: list[StartAnswer] = field(default_factory=list)  # what became of requests to start by hand
    # offsets of events that become dead letters, and the reasons
    refused: list[tuple[int, str]] = field(default_factory=list)


class Merging(SeenEvents):
    """The part of a partition's engine that deals with merges."""

    def __init__(
        self,
        partition: int,
        rules: RuleSet,
        clock: int,
        accounts: AccountStates,
        heartbeats: Iterable[Heartbeat] = (),
    ) -> None:
        super().__init__(rules, clock, accounts, heartbeats)
        self.partition = partition
        self.out = MergeOutput()

    def take_out(self) -> MergeOutput:
        """The output since the last call."""
        out, self.out = self.out, MergeOutput()
        return out

    def _answered(self, event: Event) -> None:
        """Take what actions tells in a control record."""
        if event.type == FORGOTTEN:
            self.out.forgotten += forgotten_in(event)
        elif event.type == RULES_CONCERNED:
            self.out.concerned += concerned_in(event)

    def _start(self, request: StartRequest | None, offset: int) -> list[Trigger]:
        """The triggers of what a request asks this partition to start by hand."""
        if request is None:
            return []
        self._accounts.prefetch(dict.fromkeys(named.account for named in request.subjects))
        place = Position(self.partition, offset)
        asked = Asked(
            self.rules, self._state, self._accounts.erased, self.fetch, self.clock, place, self.heartbeats
        )
        found, answer = start(request, asked)
        self.out.started.append(answer)
        self.touched.update(trigger.account for trigger in found)
        self.reasons[request.rule, Reason.BY_HAND] += len(found)
        return found

    def _aside(self, state: AccountState | None, offset: int, time: int, event: Event) -> bool:
        """Handle an event that has to do with a merge. False if the event is to be handled like any other."""
        if event.type == MERGED:
            self._merge(state, offset, time, event)
        elif event.type == ERASED:
            self._erased_there(state, offset, event)
        elif event.type == ABSORBED and (why := _wrong(event)):
            self._refuse(offset, why)
        elif state is not None and state.profile.closed is not None:
            if not _opens(event, state.profile.closed):
                self._send_on(state, state.profile.closed, offset, time, event)
                return True
            self._open(state, offset)
            return False
        elif event.type == ABSORBED:
            return state is None and self._too_late(offset, event)
        elif event.mergedfrom is not None and not _awaited(state, event):
            self._refuse(offset, f"{event.account!r} was erased, or has never taken in {event.mergedfrom!r}")
        else:
            return False
        return True

    def _refuse(self, offset: int, why: str) -> None:
        self.out.refused.append((offset, why))

    # -- closing -----------------------------------------------------------------------------------------------

    def _merge(self, state: AccountState | None, offset: int, time: int, event: Event) -> None:
        """Close the account, unless the merge is impossible."""
        said = merge_of(event)
        if said is None:
            return self._refuse(offset, "data.into: should be the name of another account")
        if state is None and self._accounts.erased(said.into):
            return self._refuse(offset, f"{said.into!r} was erased")
        known = state is not None
        if state is None:
            state = self._made(said.account, time, event)
            state.born = offset
        self.touched.add(state.account)
        if not self._is_new(state, offset, time, event) or (
            said.lone and known and not _is_alone(state, said)
        ):
            return None  # a repeat; or the account stands for more than that user, and is not merged
        before = state.profile.closed
        if before is not None and not (before.unvouched and not said.unvouched):
            if before.into != said.into and not said.lone:
                self._refuse(offset, f"{state.account!r} was merged into {before.into!r} already")
            return None
        if (why := self._hindrance(state, said)) is not None:
            return self._refuse(offset, why)
        return self._close(state, offset, event, said)

    def _hindrance(self, state: AccountState, said: Merge) -> str | None:
        """Why the merge is impossible, as far as this partition knows; None if it is possible."""
        if said.into in state.profile.absorbed:
            return f"{said.into!r} was merged into {said.account!r} before, maybe through others"
        if self._accounts.erased(said.into):
            return f"{said.into!r} was erased"
        return None

    def _close(self, state: AccountState, offset: int, event: Event, said: Merge) -> None:
        contact = (said.contact or said.account) if said.lone else None
        closing = Closing(said.into, contact, said.unvouched)
        names = names_of(state.profile, closing)
        contacts = close(state.profile, closing)
        state.listed = False
        whole = Absorbed(said.account, names, contacts, state.source, state.lone, said.unvouched)
        for place, piece in enumerate(in_pieces(whole)):
            self._tell(offset, ABSORBED, said.into, piece, (event.source, event.id, event.time, place))
        self._move(state, offset, Moved(state.account, self._at_place(offset), closed=closing))
        self._adopt(state)

    def _open(self, state: AccountState, offset: int) -> None:
        """Open an account that an unvouched merge had closed, because of a vouched event.

        That event then counts for the account.
        """
        state.profile.closed, state.listed = None, False
        self._adopt(state)
        self._move(state, offset, Moved(state.account, self._at_place(offset - 1)))

    def _move(self, state: AccountState, offset: int, moved: Moved) -> None:
        self.out.moved.append((offset, moved))
        self.touched.add(state.account)

    def _at_place(self, offset: int) -> Position:
        return Position(self.partition, offset)

    def _adopt(self, state: AccountState) -> None:
        """As `Timers._adopt`; but a closed account has no timers, and every one of its events is looked at."""
        if state.profile.closed is None:
            super()._adopt(state)
        else:
            retire(state)
            self._wake(state)

    # -- what comes for a closed account -------------------------------------------------------------------------

    def _send_on(self, state: AccountState, closing: Closing, offset: int, time: int, event: Event) -> None:
        # the first account's worker has removed the repeats of a forwarded event
        passing = event.mergedfrom is not None or event.type == ABSORBED
        if event.type.startswith(OWN_PREFIX) and event.type != ABSORBED:
            return  # an event about plays that have ended
        if not passing:
            self.touched.add(state.account)
            late = time < state.newest - LATE_US
            if not self._is_new(state, offset, time, event):
                return
            if event.type in UPDATES and merged_before(state, event) and late:
                return
            if late and event.type not in RESERVED:
                self.note("", Reason.LATE)
                return
        if event.type == "contact.deleted":
            self._erase_contact(state, offset, contact_of(event))
        self._pass(closing, offset, event)
        if len(state.seen) >= state.sweep_at:
            sweep(state, self.rules)

    def _pass(self, closing: Closing, offset: int, event: Event) -> None:
        made = sent_on(event, closing)
        if event.mergedfrom == event.account or made.mergedhops > MAX_HOPS:
            self._refuse(
                offset,
                f"{event.account!r} was merged into itself, through others",
            )
            return
        value = encode(made)
        if len(value) > MAX_BYTES:
            self._refuse(offset, f"too large to be sent on to {closing.into!r}: {len(value):,} bytes")
            return
        self.out.sent.append(ForwardedRecord(offset, self.clock, closing.into, value))
        self.note("", Reason.ACCOUNT_MERGED)

    # -- taking in -----------------------------------------------------------------------------------------------

    def _too_late(self, offset: int, event: Event) -> bool:
        """Whether the account that was to go on for another has been erased meanwhile. Then the other is erased too."""
        account, absorbed = event.account or "", absorbed_of(event)
        if absorbed is None or not self._accounts.erased(account):
            return False
        for name in absorbed.names:
            self._tell(offset, ERASED, name, Erased(account), (event.id,))
        return True

    def _took_in(self, state: AccountState, offset: int, event: Event, *, known: bool) -> None:
        """Note that the profile has taken in the other account."""
        absorbed = absorbed_of(event)
        if absorbed is None:
            return
        state.lone = min(state.lone, absorbed.lone) if known else absorbed.lone
        self._move(state, offset, Moved(state.account, self._at_place(offset), absorbed=absorbed))

    # -- erasure -------------------------------------------------------------------------------------------------

    def _erase(self, account: str, offset: int) -> None:
        """Forget an account, and the accounts that were merged into it."""
        state = self._state(account)
        for name in state.profile.absorbed if state is not None else ():
            self._tell(offset, ERASED, name, Erased(account), (account, self._at_place(offset)))
        self._accounts.forget(account)
        self.touched.discard(account)
        self.out.erased.append(ErasedAt(offset, account, None))

    def _erase_contact(self, state: AccountState, offset: int, contact: str | None) -> None:
        """Forget what is kept about one person, here and in the accounts that were merged into this one."""
        forget_contact(state, contact, self.rules.by_person)
        if contact is None:
            return
        depart(state, offset)
        self.out.erased.append(ErasedAt(offset, state.account, contact))
        for name, had in state.profile.absorbed.items():
            if contact in had:
                what = Erased(state.account, contact)
                self._tell(offset, ERASED, name, what, (state.account, self._at_place(offset), contact))
        forget(state.profile, contact)
        state.listed = False

    def _erased_there(self, state: AccountState | None, offset: int, event: Event) -> None:
        """The account that this one was merged into was erased, or a person there: forget the same here."""
        what = erased_of(event)
        closing = state.profile.closed if state is not None else None
        if state is None or what is None or closing is None or closing.into != what.into:
            return
        if what.contact in (None, closing.contact):
            self._erase(state.account, offset)  # a lone account stands for that person
        else:
            self._erase_contact(state, offset, what.contact)
            self.touched.add(state.account)

    # -- records -------------------------------------------------------------------------------------------------

    def _tell(
        self, offset: int, type_: str, account: str, what: Absorbed | Erased, cause: tuple[object, ...]
    ) -> None:
        """Send another account a record of our own; its id follows from the cause."""
        name = repr((type_, account, *cause)).encode("utf-8", "surrogatepass")
        event = Event(
            id=f"mrg_{blake2b(name, digest_size=13).hexdigest()}",
            source=SOURCE,
            type=type_,
            time=from_microseconds(self.clock),
            account=account,
            data=msgspec.to_builtins(what),
        )
        value = encode(event)
        if len(value) > MAX_BYTES and isinstance(what, Absorbed):
            bare = [msgspec.structs.replace(contact, attributes={}) for contact in what.contacts]
            event.data = msgspec.to_builtins(msgspec.structs.replace(what, contacts=bare))
            value = encode(event)
            self._refuse(offset, f"attributes of a contact of {what.account!r} are too large to be moved")
        self.out.sent.append(ForwardedRecord(offset, self.clock, account, value))


def lone_after(state: AccountState, event: Event, *, first: bool) -> int:
    """Whether one Segment user's calls alone made an account, as known after this event: see `AccountState.lone`."""
    if event.type.startswith(OWN_PREFIX):
        return state.lone
    here = (2 if event.unvouched else 1) if is_lone_call(event) else 0
    return here if first else min(state.lone, here)


def _is_alone(state: AccountState, said: Merge) -> bool:
    return state.lone == 2 if said.unvouched else state.lone > 0


def _opens(event: Event, closing: Closing) -> bool:
    """Whether an event opens an account that an unvouched merge had closed; any vouched event does."""
    if not closing.unvouched:
        return False
    if event.type == ABSORBED:
        absorbed = absorbed_of(event)
        return absorbed is not None and not absorbed.unvouched
    return not event.unvouched and not event.type.startswith(OWN_PREFIX)


def _awaited(state: AccountState | None, event: Event) -> bool:
    return state is not None and event.mergedfrom in state.profile.absorbed


def _wrong(event: Event) -> str | None:
    """What is wrong with an `ABSORBED` event, or None."""
    absorbed = absorbed_of(event)
    if absorbed is None:
        return "data: should tell which account is taken in"
    if event.account in absorbed.names or event.account == absorbed.account:
        return f"{event.account!r} was merged into itself, through others"
    return None
