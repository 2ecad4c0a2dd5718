"""The state that a trigger kind keeps of one subject: every kind has its own struct, which also forgets a contact."""

from collections.abc import Iterable
from typing import Any, Self

import msgspec


class Arming(msgspec.Struct, array_like=True):
    """The event that armed a moment. The trigger shows it, however old it is by then. Time in microseconds."""

    id: str
    source: str
    type: str
    time: int
    offset: int
    contact: str | None = None
    data: Any = None


class KindState(msgspec.Struct, array_like=True):
    """Base of the states, each of which has to say what it forgets: a kind whose state does not is refused.

    The order of the fields is the stored form: new fields come last and have a default.
    """

    def forget(self, contact: str) -> None:
        """Drop what the state holds of an erased contact. That contact's own states are dropped as a whole."""

    def armed(self) -> Iterable[Arming]:
        """The events that the state keeps in full, for the record of what is kept about a person."""
        return ()

    def pending(self) -> int | None:
        """The earliest time that a moment still to be judged may look at; None: nothing is pending."""
        return None

    def stored(self) -> Any:
        """The state in types that MessagePack has, as `restored` takes it."""
        return self

    @classmethod
    def restored(cls, value: Any) -> Self:
        """The state from its `stored` form. Raises `msgspec.ValidationError` for anything else."""
        return msgspec.convert(value, cls)
