"""The words of mails about tasks: what they say, as blocks that `letter` turns into HTML and text. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import msgspec

from schemas.dates import zone_of
from schemas.event import from_microseconds, microseconds
from schemas.reasons import EXPLAINED, Reason
from schemas.sentences.wording import MONTHS, counted, number
from services.actions.rendering.jobs import one_line
from services.actions.task_mails.letter import (
    Block,
    Fields,
    Heading,
    Letter,
    Line,
    Lines,
    Link,
    Paragraph,
    Quote,
)
from services.actions.task_mails.schedule import Day

LISTED = 20  # tasks that one mail lists
TITLE_CHARS, NAME_CHARS, BODY_CHARS = 200, 120, 4_000
LATEST_US = 253_402_000_000_000_000  # a few days before the end of the year 9999, which no zone leads out of
DAY = timedelta(1)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class ShownTask(msgspec.Struct, frozen=True):
    """A task, as a mail shows it. `trigger`: of its play; None: it was made by hand."""

    id: str
    title: str
    body: str | None = None
    account: str = ""
    account_name: str | None = None
    priority: str | None = None
    due_at: int | None = None
    approves: bool = False
    handed_over: bool = False
    rule: str | None = None
    playbook: str | None = None
    trigger: Mapping[str, Any] | None = None


class Reader(msgspec.Struct, frozen=True):
    """Whom a mail is for, by which clock that person lives, and where Touchline is (`where`: without a slash)."""

    address: str
    zone: str
    where: str

    @property
    def tasks(self) -> str:
        """The page of the reader's tasks."""
        return f"{self.where}/tasks?assignee={quote(self.address, safe='')}&status=open"

    def task(self, task: str) -> str:
        """The page of a task."""
        return f"{self.where}/tasks/{quote(task, safe='')}"


class Morning(msgspec.Struct, frozen=True):
    """What there is to do: for each part of the mail its first tasks, and how many there are in all."""

    overdue: Sequence[ShownTask]
    today: Sequence[ShownTask]
    week: Sequence[ShownTask]
    counts: tuple[int, int, int]
    later: int = 0  # due later, or without a due date


# -- a task, or several, given to somebody


def made(tasks: Sequence[ShownTask], reader: Reader, now: int) -> Letter:
    """The mail about new tasks, one at least; beyond `LISTED`, they are only counted."""
    return _one(tasks[0], reader, now) if len(tasks) == 1 else _several(tasks, reader, now)


def _one(task: ShownTask, reader: Reader, now: int) -> Letter:
    title, whose = _title(task), _whose(task)
    named = f" ({whose})" if whose and whose.casefold() not in title.casefold() else ""
    rows: list[tuple[str, Line]] = []
    if task.account:
        rows.append(
            ("Account", Line([Link(whose, f"{reader.where}/accounts/{quote(task.account, safe='')}")]))
        )
    if task.due_at is not None:
        rows.append(("Due", Line([f"{_when(task.due_at, reader.zone, now)} ({reader.zone})"])))
    if task.priority:
        rows.append(("Priority", Line([one_line(task.priority)])))
    blocks: list[Block] = [Fields(rows), Paragraph(why(task, reader, now))]
    if task.body and task.body.strip() and not task.approves:
        blocks.append(Quote(_cut(task.body.strip(), BODY_CHARS)))
    to_do = "Look at the email" if task.approves else "Open the task"
    where = f"{reader.where}/deliveries/{quote(task.id, safe='')}" if task.approves else reader.task(task.id)
    said = "handed over to you" if task.handed_over else "yours"
    return Letter(
        subject=f"{title}{named}",
        heading=title,
        blocks=blocks,
        button=Link(to_do, where),
        because=f"Sent to {reader.address}, because this task is {said} now.",
    )


def _several(tasks: Sequence[ShownTask], reader: Reader, now: int) -> Letter:
    shown = [_item(task, reader, now) for task in tasks[:LISTED]]
    title = f"{number(len(tasks))} tasks for you"
    return Letter(
        subject=title,
        heading=title,
        blocks=[Lines(shown), *_more(len(tasks) - len(shown), reader)],
        button=Link("Open your tasks", reader.tasks),
        because=f"Sent to {reader.address}, because these tasks are yours now. They came close together, so that they "
        "share one mail.",
    )


def why(task: ShownTask, reader: Reader, now: int) -> str:
    """Why there is this task, in a sentence."""
    if task.approves:
        return "An email waits for your approval. Nothing is sent before you decide."
    trigger = task.trigger
    if trigger is None:
        return "Somebody handed it over to you." if task.handed_over else "Somebody made it by hand."
    at = microseconds(datetime.fromisoformat(str(trigger["at"])))
    said = _when(at, reader.zone, now)
    on = "" if said[0].islower() else "on "
    rule = one_line(str(trigger.get("rule") or task.rule or ""))
    return f"The rule {rule} fired {on}{said}: {_cause(trigger)}"


def _cause(trigger: Mapping[str, Any]) -> str:
    reason, value, limit = (trigger.get(name) for name in ("reason", "value", "threshold"))
    if (
        reason == Reason.THRESHOLD_REACHED
        and isinstance(value, int | float)
        and isinstance(limit, int | float)
    ):
        least = "" if trigger.get("value_exact", True) else "at least "
        needed = f"the threshold of the {trigger.get('tier')} tier is {number(limit)}"
        return f"its value was {least}{number(value)}, and {needed}."
    said = EXPLAINED.get(reason) if reason in set(Reason) else None
    return f"{said[0].lower()}{said[1:]}" if said else "its reason is not known here."


# -- the morning


def morning(found: Morning, day: Day, reader: Reader, now: int) -> Letter:
    """The mail of a morning; something is overdue, due today or due this week."""
    overdue, today, week = found.counts
    parts = [
        f"{number(n)} {word}"
        for n, word in ((overdue, "overdue"), (today, "due today"), (week, "due this week"))
        if n
    ]
    blocks: list[Block] = []
    for title, tasks, count in (
        ("Overdue", found.overdue, overdue),
        ("Due today", found.today, today),
        ("Due this week", found.week, week),
    ):
        if count:
            shown = [_item(task, reader, now) for task in tasks]
            left = [_more_line(count - len(shown), reader)] if count > len(shown) else []
            blocks += [Heading(f"{title} ({number(count)})"), Lines([*shown, *left])]
    if found.later:
        blocks.append(
            Paragraph(
                f"Besides, {counted(found.later, 'open task is', 'open tasks are')} due later or at no set time."
            )
        )
    return Letter(
        subject=f"Your tasks: {', '.join(parts)}",
        heading=f"{WEEKDAYS[day.date.weekday()]}, {day.date.day} {MONTHS[day.date.month - 1]}",
        blocks=blocks,
        button=Link("Open your tasks", reader.tasks),
        because=f"Sent to {reader.address} this morning, as tasks are due. Times are those of {reader.zone}.",
    )


def _item(task: ShownTask, reader: Reader, now: int) -> Line:
    """A task in a list."""
    whose = _whose(task)
    named = [whose] if whose and whose.casefold() not in _title(task).casefold() else []
    urgent = [one_line(task.priority)] if task.priority else []
    return Line(
        [Link(_title(task), reader.task(task.id))],
        small=" · ".join([*named, _due(task, reader, now), *urgent]),
    )


def _more(count: int, reader: Reader) -> list[Block]:
    return [Lines([_more_line(count, reader)])] if count > 0 else []


def _more_line(count: int, reader: Reader) -> Line:
    return Line([Link(f"and {number(count)} more", reader.tasks)])


# -- pieces


def _title(task: ShownTask) -> str:
    return _cut(one_line(task.title), TITLE_CHARS) or "Task"


def _whose(task: ShownTask) -> str:
    return _cut(one_line(task.account_name or task.account), NAME_CHARS)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _due(task: ShownTask, reader: Reader, now: int) -> str:
    """When it is due, by the reader's clock, as it stands in a list."""
    if task.due_at is None:
        return "no due date"
    said = _when(task.due_at, reader.zone, now)
    return f"overdue since {said}" if task.due_at < now else f"due {said}"


def _when(at: int, zone: str, now: int) -> str:
    """A moment by the clock of a zone, in as few words as tell it."""
    local, today = _local(at, zone), _local(now, zone)
    near = {today.date(): "today", today.date() + DAY: "tomorrow", today.date() - DAY: "yesterday"}
    if local.date() in near:
        return f"{near[local.date()]}, {local:%H:%M}"
    year = "" if local.year == today.year else f" {local.year}"
    return f"{WEEKDAYS[local.weekday()][:3]} {local.day} {MONTHS[local.month - 1][:3]}{year}, {local:%H:%M}"


def _local(at: int, zone: str) -> datetime:
    return from_microseconds(min(at, LATEST_US)).astimezone(zone_of(zone))
