"""The tables of the mails that assignees get about their tasks. Moments are microseconds since the epoch, wall clock
unless a column says otherwise."""

from sqlalchemy import Boolean, Column, Index, Integer, String, Table, Text, false, text

from services.actions.metadata import Long, metadata

# A mail: about new tasks, or of a morning. What it says is not kept; it is made from the tasks when it goes out.
task_mails = Table(
    "actions_task_mails",
    metadata,
    Column("seq", Long, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("kind", String(8), nullable=False),  # made, morning
    Column("assigned", String(320), nullable=False),  # the assignee in the form that compares
    Column("address", Text, nullable=False),
    Column("moment", Long),  # of a morning mail, by the clock of the log where that is in use
    Column("status", String(16), nullable=False),
    Column("reason", String(64)),
    Column("detail", Text),  # how the last attempt ended, for people
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_at", Long, nullable=False),
    Column("next_attempt_at", Long),  # null: nothing more to do
    Column("begun_at", Long),  # of the first attempt
    Column("attempting", Boolean, nullable=False, server_default=false()),  # an attempt is under way
    Column("lease_owner", String(64)),
    Column("lease_until", Long),
    Column("done_at", Long),
    Index("actions_task_mails_next", "next_attempt_at"),
    Index("actions_task_mails_recent", "assigned", "kind", "due_at"),
)

WAITS = text("mail IS NULL")
# A task that was given to somebody who is to be told, and the mail that tells them. Of a morning mail: what it listed.
task_mail_items = Table(
    "actions_task_mail_items",
    metadata,
    Column("seq", Long, primary_key=True, autoincrement=True),
    Column("task", String(64), nullable=False),
    Column("assigned", String(320), nullable=False),
    Column("address", Text, nullable=False),
    Column("handed_over", Boolean, nullable=False, server_default=false()),
    Column("mail", String(64)),  # null: none yet
    Index("actions_task_mail_items_mail", "mail"),
    Index("actions_task_mail_items_task", "task"),
    Index("actions_task_mail_items_waiting", "assigned", sqlite_where=WAITS, postgresql_where=WAITS),
)

# How far the morning mails have come: one row, which whoever plans mails locks.
task_mail_clock = Table(
    "actions_task_mail_clock",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1
    Column(
        "told_upto", Long
    ),  # every morning up to this moment was seen to; null: there are no morning mails
)
