"""The filters for the lists of plays, actions and tasks, and the order of tasks, as query parameters and SQL."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Depends, Query
from sqlalchemy import ColumnElement, Select, and_, not_, or_, select

from backbone.web.pagination import Address, After, Before, Text, between, equal, newest
from schemas.account import Tier
from schemas.play import TaskStatus
from schemas.play_reasons import PlayReason
from schemas.timestamps import QueryMoment
from services.actions.plays.model import OPEN_TASK
from services.actions.storage import search_columns
from services.actions.tables import accounts, tasks

Sort = Literal["created", "due", "priority"]
# The sort orders of tasks: columns that are unique together, all ascending. Newest first needs none.
RISING: dict[str, list[ColumnElement[Any]]] = {
    "due": [tasks.c.due_or_never, tasks.c.seq],
    "priority": [tasks.c.urgency, tasks.c.due_or_never, tasks.c.seq],
}


class PlayFilters(msgspec.Struct, frozen=True):
    """The filters that plays, actions and tasks share; a filter that is None lets every row through."""

    account: str | None
    rule: str | None
    playbook: str | None
    tier: str | None
    owner: str | None
    after: datetime | None
    before: datetime | None

    def of(self, table: Any, moment: ColumnElement[int], **also: Any) -> Select[Any]:
        """The rows of a table that pass the filters; `after` and `before` are compared with `moment`."""
        query = equal(
            select(table),
            account=self.account,
            rule=self.rule,
            playbook=self.playbook,
            tier=self.tier,
            **also,
        )
        if self.owner is not None:
            theirs = select(accounts.c.account).where(accounts.c.owner == search_columns.address(self.owner))
            query = query.where(table.c.account.in_(theirs))
        return between(query, moment, self.after, self.before)

    def order(self, table: Any, moment: ColumnElement[int]) -> list[ColumnElement[Any]]:
        """Newest first: in the order of recording, or by the moment if `after` or `before` is given."""
        return newest(table.c.seq, moment, self.after, self.before)


def _narrow(
    account: Text = None,
    rule: Text = None,
    playbook: Text = None,
    tier: Tier | None = None,
    owner: Annotated[Address, Query(description="The address of the account's current owner.")] = None,
    after: After = None,
    before: Before = None,
) -> PlayFilters:
    return PlayFilters(account, rule, playbook, tier, owner, after, before)


class TaskFilters(msgspec.Struct, frozen=True):
    """The filters that only tasks have; a filter that is None lets every task through."""

    assignee: str | None
    status: TaskStatus | None
    reason: PlayReason | None
    priority: str | None
    due_before: datetime | None
    overdue: bool | None

    def of(self, query: Select[Any], now: int) -> Select[Any]:
        """The tasks that pass the filters, as they are at `now`."""
        assigned = search_columns.address(self.assignee)
        query = equal(query, assigned=assigned, reason=self.reason, priority=self.priority)
        # a subquery by the index first, or SQLite goes through all tasks
        if self.due_before is not None:
            due = between(select(tasks.c.seq), tasks.c.due_or_never, None, self.due_before)
            query = query.where(tasks.c.seq.in_(due))
        if self.status is not None:
            query = query.where(_has_status(self.status, now))
        if self.overdue is not None:
            late = and_(_has_status("open", now), tasks.c.due_or_never < now)
            query = query.where(late if self.overdue else not_(late))
        return query


def _narrow_tasks(
    assignee: Address = None,
    status: TaskStatus | None = None,
    reason: PlayReason | None = None,
    priority: Annotated[Text, Query(description="Only tasks with exactly this priority.")] = None,
    due_before: Annotated[
        QueryMoment | None, Query(description="Only tasks that are due before this time.")
    ] = None,
    overdue: Annotated[
        bool | None, Query(description="Whether the task is overdue: open, with a due date in the past.")
    ] = None,
) -> TaskFilters:
    return TaskFilters(assignee, status, reason, priority, due_before, overdue)


def _has_status(status: TaskStatus, now: int) -> ColumnElement[bool]:
    """Whether a task has a status at `now`: a snoozed task whose time has come is open again."""
    if status == "open":
        back = or_(tasks.c.status == "open", tasks.c.snoozed_until <= now)
        return and_(tasks.c.status.in_(OPEN_TASK), back)
    if status == "snoozed":
        return and_(tasks.c.status == "snoozed", tasks.c.snoozed_until > now)
    return tasks.c.status == status


NarrowedTasks = Annotated[TaskFilters, Depends(_narrow_tasks)]
Sorted = Annotated[
    Sort,
    Query(
        description="The order of the list. `created`: newest first. `due`: soonest due first, tasks without "
        "a due date last. `priority`: most urgent first (critical or urgent, high, normal or "
        "medium, low; P0, P1, …), then other words, then tasks without a priority; tasks of the "
        "same urgency are sorted by due date."
    ),
]
Narrowed = Annotated[PlayFilters, Depends(_narrow)]  # a handler's parameter: `narrow: Narrowed`
