"""How many plays a second a rehearsal plays: its process's work, over a log of a server that is not there."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from backbone.jobs.child import Report
from backbone.log import EVENTS, Entry, open_log, partition_for
from backbone.settings import Settings, load_settings
from bench.measure import REPEATS, SCALE, Result, seconds
from schemas.event import Event, encode, from_microseconds, rfc3339
from schemas.trigger import Position, Trigger, TriggerEvent
from services.actions.rehearsal_body import RehearsalJob
from services.actions.rehearsal_process import main

ACCOUNTS, PLAYS, EVENTS_EACH = int(5_000 * SCALE), int(10_000 * SCALE), 20
T0, DAY, PARTITIONS = 1_767_225_600_000_000, 86_400_000_000, 8
PLAYBOOK: dict[str, Any] = {
    "name": "storm",
    "exit_when": {"event": "met"},
    "limit": None,
    "steps": [
        {"email": {"template": "sorry"}},
        {"task": {"title": "Call {{ account.name }}", "assignee": "owner", "key": "{{ trigger.id }}"}},
        {"wait": "3d"},
        {"email": {"template": "sorry"}},
    ],
}
TEMPLATE = {
    "name": "sorry",
    "subject": "About your tickets, {{ contact.name }}",
    "markdown": "Hi {{ contact.name }},\n\nwe saw **{{ trigger.value }}** tickets.\n\n{{ owner.name }}",
}


class _Silent(Report):
    """Nobody is told how far it is."""

    def __init__(self) -> None:
        pass

    def progress(self, share: float) -> None:
        pass


def rehearsal(tick: Callable[[], None]) -> list[Result]:
    """Plays a second: 10,000 of two mails and a task, over the events of 5,000 accounts."""
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(
            data_dir=Path(folder), clock="log", log_retention="3650d", partitions=PARTITIONS
        )
        body = _fill(settings)
        raw = [round(PLAYS / seconds(lambda: _once(settings, body)), 1) for _ in range(REPEATS)]
    tick()
    note = f"two mails and a task each; a log of {ACCOUNTS * (EVENTS_EACH + 1):,} events"
    return [Result("rehearsal", sorted(raw)[len(raw) // 2], "plays/s", None, None, {"ours": raw}, note)]


def _once(settings: Settings, body: bytes) -> None:
    found = main(settings, body, _Silent())
    assert found["plays"] == PLAYS
    assert found["errors"] == []


def _fill(settings: Settings) -> bytes:
    """Write the log; returns the job."""
    log = open_log(settings)
    triggers: list[Trigger] = []
    offsets = [0] * PARTITIONS
    entries: list[Entry] = []

    def add(event: Event) -> Position:
        name = event.account or ""
        place = partition_for(name, PARTITIONS)
        entries.append(Entry(value=encode(event), key=name))
        offsets[place] += 1
        return Position(place, offsets[place] - 1)

    for n in range(ACCOUNTS):
        data = {
            "name": f"Account {n}", "owner": {"name": "Jo", "email": f"jo{n % 20}@us.test"},
            "contacts": [{"id": "ann", "name": "Ann", "email": f"ann@a{n}.test"}],
        }  # fmt: skip
        add(Event(id=f"u{n}", type="account.updated", account=f"a{n}", time=from_microseconds(T0), data=data))
    for day in range(EVENTS_EACH):
        for n in range(ACCOUNTS):
            at = T0 + day * DAY + n
            type_ = "met" if (day + n) % 7 == 0 else "ticket"
            event = Event(
                id=f"e{day}", type=type_, account=f"a{n}", time=from_microseconds(at), data={"n": n}
            )
            place = add(event)
            if type_ == "ticket" and day in (2, 8, 14) and len(triggers) < PLAYS:
                triggers.append(_trigger(n, at, place))
    for start in range(0, len(entries), 5_000):
        log.append(EVENTS, entries[start : start + 5_000]).result()
    log.close()
    job = RehearsalJob(PLAYBOOK, [TEMPLATE], triggers, T0 + 60 * DAY, b"")
    return msgspec.msgpack.encode(job)


def _trigger(n: int, at: int, place: Position) -> Trigger:
    event = TriggerEvent(id="e", source="api", type="ticket", time=rfc3339(at), data={"n": n})
    return Trigger(
        id=f"trg_{n}_{at}", rule="storm", rule_version=1, account=f"a{n}", tier="tech", at=rfc3339(at), event=event,
        event_id="e", value=n, threshold=3, reason="threshold_reached", position=place,
    )  # fmt: skip
