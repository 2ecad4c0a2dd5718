"""What a trigger kind remembers of one subject: every kind has a struct of its own, and says how a person leaves it."""

from collections.abc import Iterable
from typing import Any, Self

import msgspec


class Arming(msgspec.Struct, array_like=True):
    """The event that armed a moment: its trigger shows it, however old it is by then. Time in microseconds."""

    id: str
    source: str
    type: str
    time: int
    offset: int
    contact: str | None = None
    data: Any = None


class KindState(msgspec.Struct, array_like=True):
    """Base of the states. Field order is the stored form: new fields come last and have a default."""

    def forget(self, contact: str) -> None:
        """Drop what it carries of an erased contact; the states of that contact's own subject go as a whole."""
        raise NotImplementedError

    def armed(self) -> Iterable[Arming]:
        """The events that it keeps in full, for the record of what is held of a person."""
        return ()

    def pending(self) -> int | None:
        """The earliest time at which a moment ahead may still have to be judged; None: nothing is pending."""
        return None

    def stored(self) -> Any:
        """What `restored` takes, of types that MessagePack has."""
        return self

    @classmethod
    def restored(cls, value: Any) -> Self:
        """The state of what was `stored`. Raises `msgspec.ValidationError` for anything else."""
        return msgspec.convert(value, cls)
