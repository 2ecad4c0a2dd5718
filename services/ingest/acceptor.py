"""Checks a request's items, appends them once, and waits until they are durable; limits what may be under way."""

import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

import msgspec
import uuid_utils

from backbone.clock import Clock
from backbone.errors import LogUnavailable, RateLimited, TooLarge
from backbone.failpoint import hit
from backbone.log import EVENTS, Entry, Log
from backbone.log.records import Place
from backbone.settings import Settings
from backbone.telemetry import FIELDS_LEFT_OUT
from schemas.event import MERGED, Event
from services.ingest.account_fates import AccountFates
from services.ingest.decoding.events import MAX_EVENTS, Code, Decoded, Refusal, StrictEvent
from services.ingest.decoding.validation import ERASURES, EventValidator, ValidEvent
from services.ingest.directory_progress import DirectoryProgress
from services.ingest.durability import DurabilityWaiter
from services.ingest.event_type_aliases import Aliases
from services.ingest.formats import FORMATS
from services.ingest.identity.account_entries import tells
from services.ingest.metrics import APPEND_SECONDS, EVENTS_ACCEPTED, EVENTS_REJECTED

PATIENCE_S = 30.0  # how long a request waits for the log
HEADERS = (("content-type", b"application/cloudevents+json"),)
# Further sources beside the formats, in metrics: `PUT /v1/accounts/{id}`, and the sources of `/v1/sources`.
ACCOUNT, SOURCE = "account", "source"
_accepted = {name: EVENTS_ACCEPTED.labels(name) for name in (*FORMATS, ACCOUNT, SOURCE)}
_rejected = {code: EVENTS_REJECTED.labels(code.value) for code in Code}


Placing = Callable[[EventValidator], Awaitable[Iterable[tuple[int, Decoded | None]]]]


class Accepted(msgspec.Struct):
    """The result of a request's items: how many events are durable, and the refusals with their index."""

    accepted: int
    rejected: list[tuple[int, Refusal]]
    ahead: list[int] = []  # indexes of events whose time was set back to the receipt
    received: int = 0  # microseconds


class _Found(msgspec.Struct):
    """The entries to append, the refusals, and the places of entries that erase or merge."""

    entries: list[Entry] = []
    rejected: list[tuple[int, Refusal]] = []
    erasures: list[tuple[int, ValidEvent]] = []  # place, erasure
    merges: list[tuple[int, int, Event]] = []  # place, index, merge
    telling: list[int] = []  # places of events that change by what accounts are found

    def leave_out(self, places: Collection[int]) -> None:
        """Leave out the entries at these places, all of which are merges."""
        if not places:
            return
        left = [place for place in range(len(self.entries)) if place not in places]
        now = {place: at for at, place in enumerate(left)}
        self.entries = [self.entries[place] for place in left]
        self.erasures = [(now[place], erasure) for place, erasure in self.erasures]
        self.merges = [(now[place], index, one) for place, index, one in self.merges if place in now]
        self.telling = [now[place] for place in self.telling]
        self.rejected.sort(key=lambda each: each[0])


class RateLimiter:
    """A token bucket per key: `rate` events a second, with a second's worth (at least one full request) at once."""

    def __init__(self, rate: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = max(rate, MAX_EVENTS)
        self._monotonic = monotonic
        self._left: dict[str, tuple[float, float]] = {}  # key id → tokens left, when

    def take(self, key_id: str, count: int) -> None:
        """Take `count` tokens. Raises `RateLimited` with the time to wait."""
        if not self._rate:
            return
        now = self._monotonic()
        left, then = self._left.get(key_id, (float(self._burst), now))
        left = min(self._burst, left + (now - then) * self._rate)
        if left < count:
            self._left[key_id] = (left, now)
            wait = (count - left) / self._rate
            raise RateLimited(f"this key may send {self._rate:,} events a second", retry_after=wait)
        self._left[key_id] = (left - count, now)


class Acceptor:
    """Belongs to the event loop; all its methods run there."""

    def __init__(
        self,
        settings: Settings,
        log: Log,
        clock: Clock,
        accounts: AccountFates,
        aliases: Aliases,
        directory: DirectoryProgress,
    ) -> None:
        self._log = log
        self._directory = directory
        self._clock = clock
        self._accounts = accounts
        self._aliases = aliases
        self._wall = settings.clock == "wall"
        self._most = settings.ingest_max_in_flight
        self._buckets = RateLimiter(settings.ingest_rate_limit)
        self._waiting = DurabilityWaiter(PATIENCE_S)
        self.in_flight = 0

    def received(self) -> int | None:
        """The time now (microseconds), to compare senders' clocks with; None with the log clock, which is theirs."""
        return self._clock.now() if self._wall else None

    async def take(
        self,
        items: Sequence[Decoded | None],
        *,
        source: str,
        key_id: str,
        erasing: bool,
        new_id: Callable[[int], str] | None = None,
        nul: bool = True,
        place: Placing | None = None,
    ) -> Accepted:
        """Check the items and make the good ones durable; skip items that are None. `nul`: see `EventValidator`.

        `source`: the format's name, `ACCOUNT` or `SOURCE`.
        `place` first finds each event's account and contact, and may add events between: (index, item) in order.
        Raises `TooLarge` (too many), `RateLimited`, `LogUnavailable`: then no event is certain to be accepted.
        """
        if len(items) > MAX_EVENTS:
            message = f"a request may have {MAX_EVENTS} events, this one has {len(items):,}"
            raise TooLarge(message, code="too_many_events")
        self._buckets.take(key_id, len(items))
        names = await self._aliases.names()
        if names:
            _rename(items, names)
        now = self._clock.now()
        door = EventValidator(
            now=now,
            wall=self._wall,
            erasing=erasing,
            new_id=new_id or _uuid7,
            nul=nul,
            inside=place is not None,
        )
        found = _sort(enumerate(items) if place is None else await place(door), door)
        if found.merges:
            await self._admit(found)
        for _, refusal in found.rejected:
            _rejected[refusal.code].inc()
        for wrong in door.left_out:
            FIELDS_LEFT_OUT.labels(source, wrong.kind).inc()
        if found.entries:
            places = await self.append(found.entries)
            _accepted[source].inc(len(found.entries))
            told = [event for _, _, event in found.merges]
            await self._accounts.appended(found.entries, found.erasures, told)
            if found.telling:
                await self._directory.followed(places[place] for place in found.telling)
        return Accepted(len(found.entries), found.rejected, door.ahead, now)

    async def _admit(self, found: _Found) -> None:
        """Take out the merges that are not allowed."""
        wanted = [(place, event) for place, _, event in found.merges]
        reasons = await self._accounts.admit(wanted, found.erasures)
        refused = {place: reason for (place, _), reason in zip(wanted, reasons, strict=True) if reason}
        for place, index, event in found.merges:
            if place in refused:
                refusal = Refusal(Code.INVALID, "data.into", refused[place], event.id)
                found.rejected.append((index, refusal))
        found.leave_out(refused)

    async def append(self, entries: Sequence[Entry]) -> list[Place]:
        """Append the entries and wait until they are durable. Returns their places.

        Raises `RateLimited` if too much is under way, and `LogUnavailable`.
        """
        if self.in_flight >= self._most:
            message = f"{self._most} requests wait for the log already"
            raise RateLimited(message, retry_after=1, code="busy")
        self.in_flight += 1
        began = time.perf_counter()
        try:
            places = await self._waiting.until_done(self._log.append(EVENTS, entries))
            hit("ingest.after_append_before_answer")
            return places
        except TimeoutError:
            raise LogUnavailable(f"the log did not take the events within {PATIENCE_S:.0f} s") from None
        finally:
            self.in_flight -= 1
            APPEND_SECONDS.observe(time.perf_counter() - began)


def _sort(items: Iterable[tuple[int, Decoded | None]], door: EventValidator) -> _Found:
    found = _Found()
    quick, add = door.quick, found.entries.append
    for index, item in items:
        if type(item) is StrictEvent:
            value = quick(item)
            if value is not None:
                add(Entry(value, item.account, None, HEADERS))
                continue
        if item is None:
            continue
        checked = item if isinstance(item, Refusal) else door.check(index, item)
        if isinstance(checked, Refusal):
            found.rejected.append((index, checked))
            continue
        if checked.type in ERASURES:
            found.erasures.append((len(found.entries), checked))
        elif checked.type == MERGED and isinstance(item, Event) and not door.inside:
            found.merges.append((len(found.entries), index, item))
        if checked.type in ERASURES or (isinstance(item, Event) and tells(item)):
            found.telling.append(len(found.entries))
        add(Entry(checked.value, checked.account, None, HEADERS))
    return found


def _rename(items: Sequence[Decoded | None], names: Mapping[str, str]) -> None:
    """Replace aliases with the names that their event types have here, in place."""
    for item in items:
        if isinstance(item, Event):
            item.type = names.get(item.type, item.type)


def _uuid7(_index: int) -> str:
    return str(uuid_utils.uuid7())
