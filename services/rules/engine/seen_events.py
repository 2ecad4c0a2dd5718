"""Remembers the names of an account's events, so that a repeat is recognised."""

from schemas.event import Event
from schemas.forwarding import ABSORBED, absorbed_of
from schemas.reasons import Reason
from services.rules.engine.account_state import OFFSET_BITS, OFFSETS, AccountState
from services.rules.engine.dedup import EventName, recognise
from services.rules.engine.guarded_moments import GuardedMoments


class SeenEvents(GuardedMoments):
    """The part of a partition's engine that knows which events have been seen."""

    def _made(self, account: str, time: int, event: Event) -> AccountState:
        state = AccountState(account)
        state.earliest = state.newest = time
        absorbed = absorbed_of(event) if event.type == ABSORBED else None
        state.source = event.source if absorbed is None else absorbed.source
        self._accounts.put_new(state)
        self._adopt(state)
        return state

    def _is_new(
        self, state: AccountState, offset: int, time: int, event: Event, *, own: bool = False
    ) -> bool:
        """Whether the event is not a repeat. It is remembered from now on."""
        name = recognise(state, event, self.fetch)
        if not own and time > state.newest:
            state.newest = time
        if name.repeats:
            self.note("", Reason.DUPLICATE)
        if not name.repeats or name.key not in state.seen:  # it may be known only by another account's name
            self._remember(state, event, time, offset, name)
        return not name.repeats

    def _remember(self, state: AccountState, event: Event, time: int, offset: int, name: EventName) -> None:
        forgotten = state.seen.pop(name.key, None)  # an id whose time was over is entered again at the end
        if forgotten is not None:
            state.foreign.pop(forgotten & OFFSETS, None)
            state.older[forgotten & OFFSETS] = event.id
            state.packed.clear()  # the ids behind it have moved
            state.packed_count = 0
        if name.said is not None:
            state.foreign[offset] = name.said
        state.seen[name.key] = max(state.newest, time) << OFFSET_BITS | offset
        if time < state.earliest and event.type != ABSORBED:
            state.earliest = time
            if self.rules.tick_rules and state.profile.closed is None:
                self._ctx.state, self._ctx.now = state, self.clock
                self._note_tick(self._ctx)
