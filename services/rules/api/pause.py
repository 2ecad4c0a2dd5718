"""What becomes of a paused rule's plays: actions is told over the log, and tells how many there were."""

import time
from typing import Literal
from uuid import uuid4

from backbone.clock import Clock
from backbone.database import Database
from backbone.errors import Unavailable
from backbone.log import EVENTS, Entry, Log
from schemas.event import RULES_PAUSED, Event, encode, from_microseconds
from services.rules.storage import rule_pauses

WAIT_S, APPEND_S, LOOK_S = 10.0, 5.0, 0.05
Plays = Literal["go_on", "hold", "exit"]


class RulePauses:
    """Tells actions of pauses of rules, and waits for what it says."""

    def __init__(self, db: Database, log: Log, clock: Clock) -> None:
        self._db, self._log, self._clock = db, log, clock

    def concerned(self, rule: str, plays: Plays) -> dict[str, int] | None:
        """How many open plays and waiting mails the pause concerned, once every partition of actions has applied it.

        None where that takes too long and the plays go on anyway; raises `Unavailable` where they do not.
        """
        pause = f"pause_{uuid4().hex}"
        event = Event(
            type=RULES_PAUSED, id=pause, source="touchline", time=from_microseconds(self._clock.now()),
            data={"pause": pause, "rule": rule, "plays": plays},
        )  # fmt: skip
        until = time.monotonic() + WAIT_S
        entries = [Entry(value=encode(event), partition=number) for number in range(self._log.partitions)]
        try:
            self._log.append(EVENTS, entries).result(timeout=APPEND_S)
            found = self._waited(pause, until)
        except TimeoutError:
            found = None
        if found is None and plays != "go_on":
            raise Unavailable(
                f"{rule} is paused, but actions has not said yet what became of its plays; ask again",
                code="not_decided",
            )
        return found

    def _waited(self, pause: str, until: float) -> dict[str, int] | None:
        while True:
            with self._db.read() as conn:
                found = rule_pauses.total(conn, pause, self._log.partitions)
            if found is not None:
                return dict(zip(("plays", "mails"), found, strict=True))
            if time.monotonic() > until:
                return None
            time.sleep(LOOK_S)

    def prune(self) -> None:
        """Forget what was told of pauses more than a day ago."""
        with self._db.write() as conn:
            rule_pauses.prune(conn, self._clock.now())
