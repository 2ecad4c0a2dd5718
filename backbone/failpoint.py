"""Named places at which a process can be made to die at once, as kill -9 would: for tests of crashes.

`TOUCHLINE_FAILPOINT=rules.before_commit:3` ends the process the third time it passes that place. Unset, a place
costs one comparison.
"""

import os

POINTS = frozenset(
    {
        "rules.after_poll",
        "rules.before_commit",
        "rules.after_commit_before_relay",
        "rules.after_relay_before_mark",
        "actions.after_poll",
        "actions.before_commit",
        "actions.after_commit_before_relay",
        "actions.after_relay_before_mark",
        "delivery.after_begin_before_wire",
        "delivery.after_wire_before_commit",
        "delivery.after_commit",
        "ingest.after_append_before_answer",
    }
)
STATUS = 77  # what the process ends with


def _armed(text: str) -> tuple[str, int]:
    name, _, count = text.partition(":")
    if name and name not in POINTS:
        raise ValueError(f"there is no failpoint {name}; there are {', '.join(sorted(POINTS))}")
    return name, int(count or 1)


_name, _left = _armed(os.environ.get("TOUCHLINE_FAILPOINT", ""))


def hit(name: str) -> None:
    """The process passes this place; it ends here if this is the one and the count is reached."""
    global _left
    if name != _name:
        return
    _left -= 1
    if _left == 0:
        os._exit(STATUS)
