"""Mails about tasks: who is to be told of a task, and which mails come of that. SQL only.

A task that is given to somebody who wants to know leaves an item, in the transaction that gives it. One process at a
time plans: it makes mails of the items, and of the mornings that have come. It holds the lock of the clock's row.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import uuid_utils
from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, update

from backbone.database import among, insert_new, insert_unless_there
from schemas.addresses import BadAddress, valid_address
from schemas.task_mails import KIND, TaskMailsDoc
from services.actions.plays.model import OPEN_TASK
from services.actions.storage import search_columns, sending
from services.actions.storage.library import POLICY, TASK_MAILS
from services.actions.tables import mails_gone, tasks
from services.actions.task_mail_tables import task_mail_clock, task_mail_items, task_mails
from services.actions.task_mails.schedule import WITHIN_US, Day, Wishes, joined

AT_ONCE = 5_000  # items that are looked at in one transaction
MOST_MORNINGS = 400  # likewise, of one timezone
KEPT_US = 30 * 86_400_000_000
EVERY = 1  # the id of the clock's row


class Given(NamedTuple):
    """A task and whom it was given to."""

    task: str
    assignee: str | None
    handed_over: bool = False


def wishes(conn: Connection) -> Wishes | None:
    """Which mails are wanted; None: nobody has ever said."""
    stored = TASK_MAILS.get(conn, KIND)
    if stored is None:
        return None
    policy = POLICY.get(conn, POLICY.kind)
    zone = None if policy is None else policy.doc.get("timezone")
    return Wishes.of(TaskMailsDoc.model_validate(stored.doc), zone)


def note(conn: Connection, given: Sequence[Given], by: str | None = None) -> None:
    """Remember to tell people of tasks that were just given to them. `by`: the address of whoever did it, if known."""
    if not given or (found := wishes(conn)) is None or not found.doc.made:
        return
    doer = search_columns.address(by)
    rows = [
        {"task": one.task, "assigned": assigned, "address": one.assignee, "handed_over": one.handed_over}
        for one in given
        if (assigned := _reachable(one.assignee)) is not None
        if assigned != doer and found.wants("made", assigned)
    ]
    if rows:
        conn.execute(insert(task_mail_items), rows)


def _reachable(address: str | None) -> str | None:
    """The address in the form that compares; None if it is none."""
    try:
        valid_address(address)
    except BadAddress:
        return None
    return search_columns.address(address)


# -- planning


def is_due(conn: Connection, upto: int, *, late: int | None) -> bool:
    """Whether there is anything to plan; see `plan`."""
    if (found := wishes(conn)) is None:
        return False
    if conn.execute(select(task_mail_items.c.seq).where(_waiting()).limit(1)).first() is not None:
        return not sending.is_off(conn)
    told = conn.scalar(select(task_mail_clock.c.told_upto))
    return told is not None and bool(_came(conn, found, told, upto, late))


def turn(conn: Connection, on: bool, now: int) -> None:
    """Morning mails are wanted, from `now` on by the clock of the log, or not any more."""
    upto = _locked(conn)
    if on and upto is None:
        _see_to(conn, now)
    elif not on:
        _see_to(conn, None)


def plan(conn: Connection, now: int, upto: int, *, late: int | None) -> bool:
    """Make the mails that are due; returns whether there may be more.

    `now`: the wall clock. `upto`: the moment whose mornings have come. `late`: how long after its moment a morning is
    passed over; None: never.
    """
    told = _locked(conn)
    found = wishes(conn)
    if found is None:
        return False
    more = False if sending.is_off(conn) else _of_items(conn, found, now)
    return (told is not None and _of_mornings(conn, found, told, now, upto, late)) or more


def _locked(conn: Connection) -> int | None:
    conn.execute(insert_unless_there(conn, task_mail_clock, ["id"]), {"id": EVERY, "told_upto": None})
    return conn.scalar(select(task_mail_clock.c.told_upto).with_for_update())


def _see_to(conn: Connection, upto: int | None) -> None:
    conn.execute(update(task_mail_clock).values(told_upto=upto))


def _waiting() -> ColumnElement[bool]:
    return task_mail_items.c.mail.is_(None)


def _of_items(conn: Connection, found: Wishes, now: int) -> bool:
    query = select(task_mail_items).where(_waiting()).order_by(task_mail_items.c.seq)
    rows = conn.execute(query.limit(AT_ONCE)).all()
    by_assignee: dict[str, list[Any]] = {}
    for row in rows:
        by_assignee.setdefault(row.assigned, []).append(row)
    for assigned, items in by_assignee.items():
        if not found.wants("made", assigned):
            _drop(conn, items)
            continue
        for group in joined(items, _recent(conn, assigned, now)):
            mail = _mail(f"tm_{uuid_utils.uuid7().hex}", "made", group[-1].address, None, now)
            conn.execute(insert(task_mails), mail)
            mine = among(conn, task_mail_items.c.seq, [item.seq for item in group])
            conn.execute(update(task_mail_items).where(mine).values(mail=mail["id"]))
    return len(rows) == AT_ONCE


def _drop(conn: Connection, items: Sequence[Any]) -> None:
    conn.execute(
        delete(task_mail_items).where(among(conn, task_mail_items.c.seq, [one.seq for one in items]))
    )


def _recent(conn: Connection, assigned: str, now: int) -> int:
    """How many mails about new tasks an assignee had within the time that is counted, and those still on their way."""
    theirs = (task_mails.c.assigned == assigned, task_mails.c.kind == "made")
    waits = task_mails.c.next_attempt_at.is_not(None)
    lately = or_(waits, and_(task_mails.c.due_at > now - WITHIN_US, task_mails.c.status != "skipped"))
    return conn.scalar(select(func.count()).select_from(task_mails).where(*theirs, lately)) or 0


def _mail(mail: str, kind: str, address: str, moment: int | None, now: int) -> dict[str, Any]:
    return {
        "id": mail, "kind": kind, "assigned": search_columns.address(address), "address": address, "moment": moment,
        "status": "pending", "due_at": now, "next_attempt_at": now,
    }  # fmt: skip


def _of_mornings(conn: Connection, found: Wishes, told: int, now: int, upto: int, late: int | None) -> bool:
    """Make the mails of the mornings that have come. Of one day, nobody gets two."""
    if not (came := _came(conn, found, told, upto, late)):
        return False
    for moment, zone in came:
        day = Day.at(moment, zone)
        theirs = [
            _mail(_morning_id(assigned, day), "morning", address, moment, now)
            for assigned, address in _busy(conn, moment, day, is_wall=late is not None)
            if found.zone_of(assigned) == zone and found.wants("morning", assigned) and _reachable(address)
        ]
        insert_new(conn, task_mails, theirs, ["id"])
    full = len(came) == MOST_MORNINGS
    _see_to(conn, came[-1][0] - 1 if full else upto)  # others of the last moment may be left
    return full


def _came(conn: Connection, found: Wishes, told: int, upto: int, late: int | None) -> list[tuple[int, str]]:
    """The mornings that have come and were not seen to, each with its timezone; `MOST_MORNINGS` at most."""
    begin = max(told, 0 if late is None else upto - late, (_oldest_task(conn) or upto) - 1)
    every = (
        (moment, zone)
        for zone in found.zones()
        for moment in found.mornings(begin, upto, zone, MOST_MORNINGS)
    )
    return sorted(every)[:MOST_MORNINGS]


def _morning_id(assigned: str, day: Day) -> str:
    """The same for an assignee and a day, whatever was changed about the hour meanwhile."""
    return "tm_" + sha256(f"{day.date.isoformat()} {assigned}".encode()).hexdigest()[:32]


def _oldest_task(conn: Connection) -> int | None:
    found: int | None = conn.scalar(select(func.min(tasks.c.created_at)))
    return found


def _busy(conn: Connection, moment: int, day: Day, *, is_wall: bool) -> list[tuple[str, str]]:
    """The assignees with something for this day or week, each in the form that compares and as an address."""
    query = select(tasks.c.assigned, func.min(tasks.c.assignee)).where(
        to_do(moment, day, is_wall=is_wall),
        tasks.c.due_or_never < day.week_end,
        tasks.c.assigned.is_not(None),
    )
    return [(row[0], row[1]) for row in conn.execute(query.group_by(tasks.c.assigned))]


def to_do(moment: int, day: Day, *, is_wall: bool) -> ColumnElement[bool]:
    """Whether a task is to be done, as of a moment. One that is put off beyond the day is not.

    The log clock may be far beyond the moment when this is asked, so that what was done later counts as open. By the
    wall clock it does not.
    """
    over = or_(tasks.c.over_at.is_(None), tasks.c.over_at > moment)
    there = tasks.c.created_at < moment, tasks.c.status.in_(OPEN_TASK) if is_wall else over
    return and_(*there, or_(tasks.c.snoozed_until.is_(None), tasks.c.snoozed_until < day.end))


# -- erasure


def forget(conn: Connection, which: ColumnElement[bool], now: int) -> None:
    """Forget these tasks, which are being erased. Each process removes the mail files that it wrote about them."""
    about = task_mail_items.c.task.in_(select(tasks.c.id).where(which))
    told = select(task_mails.c.id, task_mails.c.due_at).where(
        task_mails.c.id.in_(select(task_mail_items.c.mail).where(about)), task_mails.c.begun_at.is_not(None)
    )
    files = [{"action": row.id, "due_at": row.due_at, "at": now} for row in conn.execute(told)]
    if files:
        conn.execute(insert(mails_gone), files)
    conn.execute(delete(task_mail_items).where(about))


def prune(conn: Connection, now: int) -> None:
    """Delete mails that ended long ago, with their items."""
    old = (task_mails.c.next_attempt_at.is_(None), task_mails.c.due_at < now - KEPT_US)
    gone = select(task_mails.c.id).where(*old)
    conn.execute(delete(task_mail_items).where(task_mail_items.c.mail.in_(gone)))
    conn.execute(delete(task_mails).where(*old))
