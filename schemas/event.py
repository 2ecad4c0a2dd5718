"""An event: what happened, normalised to a CloudEvents 1.0 object with `account` and `contact`.

The struct is the wire form of `touchline.events` (contract, section 2). Inside the code a moment is an integer of
microseconds since the epoch, UTC; `Event.time` keeps the RFC 3339 text as a datetime only while it is decoded.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

MERGED = "account.merged"  # closes the account; `data.into` goes on for it: see `schemas.merging`
RESERVED = frozenset({"account.updated", "contact.updated", "account.deleted", "contact.deleted", MERGED})
OWN_PREFIX = "touchline."
# Control records:
CLOCK = "touchline.clock"  # carries a partition's clock to `time`
RULES_SAVED = "touchline.rules.saved"  # revision `data.revision` takes effect at this place
RULES_START = "touchline.rules.start"  # here the partition decides on the request `data.start`
RULES_PAUSED = "touchline.rules.paused"  # here the plays of `data.rule` become what `data.plays` says
RULES_CONCERNED = "touchline.rules.concerned"  # how many plays and mails the pause `data.pause` met
SOURCE_SEEN = "touchline.source.seen"  # another partition has had events of an `alive` clause
FORGOTTEN = "touchline.history.forgotten"  # the plays of the triggers `data.triggers` have left
CONTROL = frozenset({CLOCK, RULES_SAVED, FORGOTTEN, RULES_START, RULES_PAUSED, RULES_CONCERNED, SOURCE_SEEN})

# About what people did, though Touchline sends them: their depth is 0.
BY_PEOPLE = frozenset(
    f"{OWN_PREFIX}{kind}"
    for kind in ("task.completed", "email.bounced", "email.complained", "email.unsubscribed")
)
LOOP_DEPTH = 3  # at an event of this depth no rule fires
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
DAY_US = 86_400_000_000
FUTURE_LIMIT_US = 5 * 60 * 1_000_000  # with the wall clock, a time further ahead is set to the receipt time
LATE_US = 7 * DAY_US  # an event further behind its account's newest counts in no window


class Event(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One event as it travels. Names follow CloudEvents; unknown extension attributes are ignored.

    `subject` is kept but not used: its meaning is up to the source, such as a ticket of a help desk.

    `unvouched`: the event came with a key with only the scope `track`. Such keys may stand in web pages, so anybody
    may have sent it. `undated`: a backfilled update without a time of its own; `time` is the time of receipt.
    `mergedfrom`: for an event of a merged account, the account for which it was first sent. `mergedhops`: how many
    accounts have forwarded it (see `schemas.forwarding`).
    """

    specversion: str = "1.0"
    id: str = ""
    source: str = "api"
    type: str
    time: datetime | None = None
    account: str | None = None
    subject: str | None = None
    contact: str | None = None
    data: Any = None
    historical: bool = False
    originaltime: str | None = None
    unvouched: bool = False
    undated: bool = False
    mergedfrom: str | None = None
    mergedhops: int = 0


_decode = msgspec.json.Decoder(Event).decode
_encode = msgspec.json.Encoder().encode


class Malformed(ValueError):
    """A record that is no event: `field` names what is wrong with it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


def decode(value: bytes, *, place: str, timestamp: int) -> Event:
    """The event in a record's value, defaults filled in.

    A missing id becomes `place` ("topic/partition/offset"), a missing time `timestamp` (receipt,
    microseconds). Raises `Malformed` for a record that is no event.
    """
    try:
        event = _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        event = _without_nulls(value, error)
    if event.account is None and event.type not in CONTROL:
        raise Malformed("account", "is required")
    if not event.type:
        raise Malformed("type", "is required")
    if not event.id:
        event.id = place
    if event.time is None:
        event.time = from_microseconds(timestamp)
    elif event.time.tzinfo is None:
        raise Malformed("time", "needs an offset, such as Z")
    return event


def _without_nulls(value: bytes, error: Exception) -> Event:
    try:
        return msgspec.convert(set_attributes(msgspec.json.decode(value)), Event)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Malformed("event", str(error)) from error


def set_attributes(sent: Any) -> Any:
    """A decoded event without its null attributes, which CloudEvents counts as left out."""
    if not isinstance(sent, dict):
        return sent
    return {name: each for name, each in sent.items() if each is not None}


def clamp_future(event: Event, timestamp: int) -> bool:
    """Wall clock only: set a time more than five minutes ahead of receipt to the receipt time, and keep the
    time as sent.

    Returns whether it was.
    """
    if event.time is None or microseconds(event.time) <= timestamp + FUTURE_LIMIT_US:
        return False
    event.originaltime = event.originaltime or event.time.isoformat()
    event.time = from_microseconds(timestamp)
    return True


def encode(event: Event) -> bytes:
    """The record value of an event: compact JSON without attributes that hold their default."""
    return _encode(event)


def is_reserved(type_: str) -> bool:
    """Whether `"*"` leaves this type out: account and contact updates, merges, erasures, Touchline's own."""
    return type_ in RESERVED or type_.startswith(OWN_PREFIX)


def day_of(us: int) -> int:
    """The daily tick at or before a moment: 00:00 UTC of its day."""
    return us // DAY_US * DAY_US


def depth_of(type_: str, data: Any) -> int:
    """How often Touchline has answered itself before this event; 0 for an event from outside, whatever it says.

    An event of our own that is older than depths has the least that it can have.
    """
    if not type_.startswith(OWN_PREFIX):
        return 0
    said = data.get("depth") if isinstance(data, dict) else None
    return max(0, said) if type(said) is int else int(type_ not in BY_PEOPLE)


def depth_after(type_: str, depth: int) -> int:
    """The depth of an event of our own about a play whose trigger fired at this depth."""
    return 0 if type_ in BY_PEOPLE else depth + 1


def microseconds(moment: datetime) -> int:
    """Microseconds since the epoch of an aware datetime, exact."""
    return (moment - _EPOCH) // _US


def instant(text: str) -> int:
    """The time of an RFC 3339 text. Raises ValueError for any other text."""
    return microseconds(datetime.fromisoformat(text))


def from_microseconds(us: int) -> datetime:
    """The UTC datetime of a moment in microseconds since the epoch."""
    return datetime.fromtimestamp(us // 1_000_000, UTC).replace(microsecond=us % 1_000_000)


def rfc3339(us: int) -> str:
    """`2026-11-22T09:00:00Z`, with none, three or six fractional digits, as needed."""
    moment = from_microseconds(us).replace(tzinfo=None)
    spec = "seconds" if us % 1_000_000 == 0 else "milliseconds" if us % 1_000 == 0 else "microseconds"
    return moment.isoformat(timespec=spec) + "Z"
