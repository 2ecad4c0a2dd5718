"""What the plays of a paused rule were in a partition, as actions tells it in a control record."""

from typing import NamedTuple

from schemas.event import Event
from schemas.names import is_name

MOST = 2**31 - 1


class Concerned(NamedTuple):
    """A part of an answer to a pause, by the id of its record. `done`: the partition has no more of them."""

    pause: str
    part: str
    plays: int
    mails: int
    done: bool


def concerned_in(event: Event) -> list[Concerned]:
    """What the record tells; nothing for one that is not ours."""
    data = event.data if isinstance(event.data, dict) else {}
    pause, numbers, done = data.get("pause"), (data.get("plays"), data.get("mails")), data.get("done")
    plays, mails = (n if isinstance(n, int) and 0 <= n <= MOST else None for n in numbers)
    if not isinstance(pause, str) or plays is None or mails is None or not isinstance(done, bool):
        return []
    if not is_name(pause) or not is_name(event.id):
        return []
    return [Concerned(pause, event.id, plays, mails, done)]
