"""Named places at which a process can be made to die at once, as by kill -9, or to freeze: for tests of faults.

`TOUCHLINE_FAILPOINT=rules.before_commit:3` ends the process the third time it passes that place;
`rules.before_commit:3:stop` stops it there (SIGSTOP) until somebody lets it go on. Unset, a place costs one comparison.
"""

import os
import signal
import threading

POINTS = frozenset(
    {
        "rules.after_poll",
        "rules.before_commit",
        "rules.after_commit_before_relay",
        "rules.after_relay_before_mark",
        "rules.after_sending_on_before_mark",
        "actions.after_poll",
        "actions.before_commit",
        "actions.after_commit_before_relay",
        "actions.after_relay_before_mark",
        "delivery.after_begin_before_wire",
        "delivery.after_wire_before_note",
        "delivery.after_wire_before_commit",
        "delivery.after_commit",
        "task_mails.after_begin_before_wire",
        "task_mails.after_wire_before_note",
        "ingest.after_append_before_answer",
        "ingest.before_commit",
        "ingest.after_placing_before_append",
        "ingest.after_sending_on_before_forgetting",
    }
)
STATUS = 77  # what the process ends with
STOP = "stop"


def _armed(text: str) -> tuple[str, int, bool]:
    name, _, rest = text.partition(":")
    count, _, how = rest.partition(":")
    if name and (name not in POINTS or how not in {"", STOP}):
        raise ValueError(f"there is no failpoint {text}; there are {', '.join(sorted(POINTS))}")
    return name, int(count or 1), how == STOP


_name, _left, _stop = _armed(os.environ.get("TOUCHLINE_FAILPOINT", ""))


def hit(name: str) -> None:
    """Pass this place: the process ends (or stops) here if this is the named one and its count is reached."""
    global _left
    if name != _name:
        return
    _left -= 1
    if _left == 0 and _stop:
        # Meant for this thread: one meant for the process may reach another first, and this one runs on meanwhile.
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
    elif _left == 0:
        os._exit(STATUS)
