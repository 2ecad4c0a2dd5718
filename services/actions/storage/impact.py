"""Counts the accounts that a playbook treated and held out, each with the first play that began. SQL only."""

from sqlalchemy import ColumnElement, Connection, and_, case, func, select

from services.actions.impact.verdict import Group
from services.actions.tables import partitions, plays


def groups(conn: Connection, playbook: str, version: int | None, now: int | None) -> tuple[Group, Group]:
    """Those treated, and those held out. With a version: of those whose first play was of it.

    `now`: the wall clock; None: each partition's own clock tells whether the goal's time is over.
    """
    order = func.row_number().over(partition_by=plays.c.account, order_by=(plays.c.began_at, plays.c.seq))
    needed = ("status", "playbook_version", "partition", "goal_until", "goal_reached_at")
    began = select(*(plays.c[name] for name in needed), order.label("nth"))
    one = began.where(plays.c.playbook == playbook, plays.c.began_at.is_not(None)).subquery()
    clock = partitions.c.clock if now is None else now
    over = one.c.goal_until <= clock
    held_out = one.c.status == "held_out"
    query = (
        select(
            held_out.label("held_out"),
            func.count().label("plays"),
            _number(over).label("complete"),
            _number(and_(over, one.c.goal_reached_at.is_not(None))).label("reached"),
        )
        .select_from(one.outerjoin(partitions, partitions.c.partition == one.c.partition))
        .where(one.c.nth == 1)
        .group_by(held_out)
    )
    if version is not None:
        query = query.where(one.c.playbook_version == version)
    found = {bool(row.held_out): Group(row.plays, row.complete, row.reached) for row in conn.execute(query)}
    return found.get(False, Group(0, 0, 0)), found.get(True, Group(0, 0, 0))


def _number(which: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((which, 1)))
