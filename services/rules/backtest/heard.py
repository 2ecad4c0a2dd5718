"""The heartbeats of all partitions, which a backtest reads before it judges: the partitions are judged one by one."""

from collections.abc import Iterable, Mapping

import msgspec

from backbone.log.records import Record
from schemas.event import Event, Malformed, microseconds
from schemas.heartbeats import AliveClause
from services.rules.decoding import decoded
from services.rules.engine.heartbeats import Heartbeat


class Heard:
    """What every partition has heard of the clauses of some rules' `alive`."""

    def __init__(self, clauses: Mapping[str, AliveClause]) -> None:
        self._clauses = clauses
        self._found: dict[int, dict[str, Heartbeat]] = {}
        named = {type_ for clause in clauses.values() for type_ in clause.types}
        self._names = None if "*" in named else [msgspec.json.encode(type_)[1:-1] for type_ in sorted(named)]

    def note(self, records: Iterable[Record]) -> None:
        """Note the records that are heartbeats, historical ones too."""
        for record in records if self._clauses else ():
            value = record.value
            if self._names is not None and b"\\" not in value and not any(n in value for n in self._names):
                continue
            try:
                event = decoded(record, wall=False)
            except Malformed:
                continue
            self._hear(record.partition, event)

    def _hear(self, partition: int, event: Event) -> None:
        time = microseconds(event.time) if event.time is not None else 0
        for key, clause in self._clauses.items():
            if clause.listens(event.type):
                hearts = self._found.setdefault(partition, {})
                hearts.setdefault(key, Heartbeat(clause)).hear(time, time)

    def beside(self, partition: int) -> list[Heartbeat]:
        """What all other partitions have heard, together."""
        found = {key: Heartbeat(clause) for key, clause in self._clauses.items()}
        for number, hearts in self._found.items():
            for key, heart in hearts.items() if number != partition else ():
                found[key].take(heart)
        return list(found.values())
