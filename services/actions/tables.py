"""The tables of the actions service: schema `actions` on PostgreSQL, prefix `actions_` everywhere.

Moments are microseconds since the epoch. `seq` numbers rows in the order in which they were made: lists show the
newest ones first.
"""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    false,
    text,
)

from backbone.documents.store import document_tables
from backbone.exports.erased import erased_table
from backbone.exports.stamps import stamp_column
from services.actions import task_mail_tables as task_mail_tables
from services.actions.digest_tables import digest_items as digest_items
from services.actions.mail_tables import mail_reports as mail_reports
from services.actions.mail_tables import mail_tokens as mail_tokens
from services.actions.mail_tables import suppressions as suppressions
from services.actions.mail_tables import topic_returns as topic_returns
from services.actions.metadata import Long
from services.actions.metadata import metadata as metadata
from services.actions.stats_tables import STATS as STATS

# Playbooks, templates and endpoints, every version of them.
documents = document_tables(metadata)

# How far this service has applied each partition, and which worker may write for it (`epoch` fences the others).
partitions = Table(
    "actions_partitions",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Long, nullable=False),
    Column("next_event", Long, nullable=False),  # offset in touchline.events: applied up to here, exclusive
    Column("next_trigger", Long, nullable=False),  # offset in touchline.triggers, likewise
    Column("past", Long, nullable=False),  # rules' progress: every trigger from before it has been read
    Column("clock", Long, nullable=False),
    Column("swept", Long, nullable=False, server_default="0"),  # the daily tick of which old history is gone
)

# The profiles of accounts, learnt from the log.
accounts = Table(
    "actions_accounts",
    metadata,
    Column("account", String(256), primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("profile", LargeBinary, nullable=False),
    Column("owner", String(320)),  # the owner's address in the form that compares; see `search_columns`
    Index("actions_accounts_owner", "owner"),
)

# Hashes of events whose repeats would matter: updates, and events that end plays and waits.
seen = Table(
    "actions_seen",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary(16), primary_key=True),
    Column("time", Long, nullable=False),  # of the event
    Column("at", Long, nullable=False),  # the partition's clock then; old rows are dropped
    Column("said", Long),  # the event's fingerprint, see `Sighting`
    Index("actions_seen_at", "partition", "at"),
)

OPEN, DONE = text("status = 'open'"), text("done_at IS NOT NULL")
plays = Table(
    "actions_plays",
    metadata,
    Column("seq", Long, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("partition", Integer, nullable=False),
    Column("playbook", String(256), nullable=False),
    Column("playbook_version", Integer),
    Column("rule", String(256), nullable=False),
    Column("trigger_id", String(64), nullable=False),
    Column("account", String(256), nullable=False),
    Column("contact", String(256)),
    Column("key", Text),
    Column("scope", String(16), nullable=False),
    Column("tier", String(16), nullable=False),
    Column("topic", String(256), nullable=False),
    Column("status", String(16), nullable=False),
    Column("reason", String(64)),
    Column("step", String(256)),
    Column("started_at", Long, nullable=False),
    Column("ended_at", Long),
    Column("due_at", Long),  # of the wait that the play stands at; null: it stands at none
    Column("until", Boolean, nullable=False, server_default=false()),
    Column("dated", Boolean, nullable=False, server_default=false()),
    Column(
        "came", Boolean, nullable=False, server_default=false()
    ),  # what it waits for came while it stood still
    Column("held_at", Long),  # since when it is held, or was before it began
    Column("released", Long),  # the stamp of its release, see `Hold`
    Column("counts", Boolean, nullable=False, server_default=false()),  # towards the playbook's limit
    Column("trigger", JSON, nullable=False),
    Column("templates", JSON, nullable=False),
    Column("depth", Integer, nullable=False, server_default="0"),  # of the event at which the trigger fired
    Column("place", Long),  # offset in the log at which the trigger was decided
    Column("watched", JSON(none_as_null=True)),  # path to value, as it was when the trigger was decided
    Column("began_at", Long),  # or would have, were it not held out; null: it has not
    Column("goal_until", Long),  # the last moment at which its goal counts; null: it is not watched
    Column("goal_reached_at", Long),
    Column("waited", Long, nullable=False, server_default="0"),  # its waits so far, added up
    stamp_column(),
    Index("actions_plays_stamp", "stamp", "seq"),
    Index("actions_plays_goal", "account", "goal_until"),
    Index("actions_plays_goals", "goal_until"),
    Index("actions_plays_began", "playbook", "account", "began_at"),
    Index("actions_plays_due", "partition", "due_at"),
    Index(
        "actions_plays_begun",
        "playbook",
        "started_at",
        sqlite_where=text("counts"),
        postgresql_where=text("counts"),
    ),
    Index("actions_plays_open", "playbook", "tier", "step", sqlite_where=OPEN, postgresql_where=OPEN),
    Index("actions_plays_ended", "partition", "ended_at"),
    Index("actions_plays_account", "account", "status"),
    Index("actions_plays_playbook", "playbook", "seq"),
    Index("actions_plays_status", "status", "seq"),
    Index("actions_plays_rule", "rule", "seq"),
    Index("actions_plays_reason", "reason", "seq"),
    Index("actions_plays_tier", "tier", "seq"),
    Index("actions_plays_started", "started_at", "seq"),
)

# The playbooks and rules that hold their plays, or once did. See `plays.admission.Hold`.
holds = Table(
    "actions_holds",
    metadata,
    Column("kind", String(16), primary_key=True),  # playbook, rule
    Column("name", String(256), primary_key=True),
    # a rule has a row for each partition, as its pause takes effect in each at its own time; a playbook has one, -1
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("paused", String(64)),  # the reason for its plays; null: it holds none
    Column("reason", Text),  # of the pause, for people; and so are the next two
    Column("paused_by", String(256)),
    Column("paused_at", Long),
    Column("generation", Long, nullable=False),  # the stamp of the last pause or resume
    Column("stamp", Long, nullable=False),  # grows with everything that somebody asks for
    Column("counted_after", Long, nullable=False),  # `seq` of plays up to which none counts towards the limit
    Column("revision", Long, nullable=False, server_default="0"),  # of rules, which paused it or let it go on
)

# Steps of plays that made no action (waits, branches, steps left out), and what people decided about actions. No row is
# ever changed.
history = Table(
    "actions_history",
    metadata,
    Column("seq", Long, primary_key=True, autoincrement=True),
    Column("play", String(64), nullable=False),
    Column("account", String(256), nullable=False),
    Column("step", String(256), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("at", Long, nullable=False),
    Column("action", String(64)),  # what was decided about it by hand; null: the row is about a step
    Index("actions_history_play", "play", "seq"),
    Index("actions_history_account", "account"),
)

actions = Table(
    "actions_actions",
    metadata,
    Column("seq", Long, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("partition", Integer, nullable=False),
    Column("play", String(64), nullable=False),
    Column("playbook", String(256), nullable=False),
    Column("account", String(256), nullable=False),
    Column("contact", String(256)),
    Column("channel", String(16), nullable=False),
    Column("step", String(256), nullable=False),
    Column("recipient", Text),
    Column("topic", String(256), nullable=False),
    Column("status", String(16), nullable=False),
    Column("reason", String(64)),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("created_at", Long, nullable=False),
    Column("due_at", Long, nullable=False),
    Column("done_at", Long),
    Column("next_attempt_at", Long),  # wall clock, with either clock mode; null: nothing more to do
    Column("attempting", Boolean, nullable=False, server_default=false()),  # an attempt is under way
    Column("lease_owner", String(64)),
    Column("lease_until", Long),
    Column("rendered", JSON),
    Column("rule", String(256)),  # of the play, and so is the tier
    Column("tier", String(16)),
    Column("addressee", String(320)),  # the recipient in the form that compares; see `search_columns`
    # its playbook or rule is paused; `next_attempt_at` is null meanwhile
    Column("parked", Boolean, nullable=False, server_default=false()),
    # Of mails to contacts, see `storage.waiting`. Moments are of the partition's clock.
    Column("begun_at", Long),  # of any action: when its first attempt began; null: none did
    # From when on it may begin. Null: from `due_at` on, when its step ran. Whoever lets it go later sets it.
    Column("ready_at", Long),
    Column("next_look_at", Long),  # when it is looked at next, while it waits; null: not by time
    Column("late_at", Long),  # the last moment at which it may begin, as its step says
    Column("priority", Integer),  # of its playbook; null: the default
    Column("waited", Long),  # the waits of its play before it, added up
    # It has not begun, and something other than its turn decides whether it may
    Column("waits", Boolean, nullable=False, server_default=false()),
    *(
        Index(name, *columns, sqlite_where=text("waits"), postgresql_where=text("waits"))
        for name, *columns in (
            ("actions_actions_waiting", "account"),
            ("actions_actions_waiting_for", "addressee"),
            ("actions_actions_look", "partition", "next_look_at"),
        )
    ),
    # how many attempts there were when somebody last asked for it again; null: nobody has
    Column("tries_before", Integer),
    Column("disabled_since", Long),  # since when it waits for its endpoint, which is disabled; wall clock
    Index(
        "actions_actions_disabled",
        "recipient",
        sqlite_where=text("disabled_since IS NOT NULL"),
        postgresql_where=text("disabled_since IS NOT NULL"),
    ),
    Column("digest_key", String(256)),  # the key of the digest that it is, or was to go with
    Column("approver", Text),  # who was asked to approve it; null: nobody, or there is no such person
    Column("approve_until", Long),  # by its partition's clock; null: it waits for no approval
    Index(
        "actions_actions_approvals",
        "partition",
        "approve_until",
        sqlite_where=text("approve_until IS NOT NULL"),
        postgresql_where=text("approve_until IS NOT NULL"),
    ),
    Index("actions_actions_parked", "playbook", sqlite_where=text("parked"), postgresql_where=text("parked")),
    stamp_column(),
    Index("actions_actions_stamp", "stamp", "seq"),
    Index("actions_actions_next", "next_attempt_at"),
    Index("actions_actions_play", "play", "seq"),
    Index("actions_actions_account", "account", "seq"),
    Index("actions_actions_status", "status", "seq"),
    Index("actions_actions_rule", "rule", "seq"),
    Index("actions_actions_reason", "reason", "seq"),
    Index("actions_actions_tier", "tier", "seq"),
    Index("actions_actions_due", "due_at", "seq"),
    Index("actions_actions_done", "done_at", sqlite_where=DONE, postgresql_where=DONE),
    Index("actions_actions_playbook", "playbook", "seq"),
    Index("actions_actions_channel", "channel", "seq"),
    Index("actions_actions_addressee", "addressee", "seq"),
)

# When mails to contacts began, as far back as a cap of the sending policy counts. Kept only while there are caps.
begins = Table(
    "actions_begins",
    metadata,
    Column("action", String(64), primary_key=True),
    Column("at", Long, primary_key=True, autoincrement=False),
    Column("address", String(64), nullable=False),  # a keyed hash, as suppressions have it
    Column("account", String(256), nullable=False),
    Column("topic", String(256), nullable=False),
    Column("tier", String(16), nullable=False),
    Index("actions_begins_address", "address", "at"),
    Index("actions_begins_account", "account", "at"),
    Index("actions_begins_at", "at"),
)

# What is known of endpoints that fail or have a rate. See `storage.endpoints`.
endpoint_states = Table(
    "actions_endpoint_states",
    metadata,
    Column("name", String(256), primary_key=True),
    Column("failing_since", Long),  # the first failure since the last success; all moments are wall clock
    Column("reason", String(64)),  # of the last failure
    Column("disabled_at", Long),
    Column("next_begin", Long),  # of the rate: when the next webhook is due by the even pace
)

# Mails that were erased. If mails are written to files, each process removes the files that it wrote.
mails_gone = Table(
    "actions_mails_gone",
    metadata,
    Column("seq", Long, primary_key=True, autoincrement=True),
    Column("action", String(64), nullable=False),
    Column("due_at", Long, nullable=False),
    Column("at", Long, nullable=False),  # wall clock
    Index("actions_mails_gone_at", "at"),
)

# Every attempt to carry out an action. `ended_at` null: it is under way, or the process died in it.
attempts = Table(
    "actions_attempts",
    metadata,
    Column("action", String(64), primary_key=True),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("started_at", Long, nullable=False),
    Column("ended_at", Long),
    Column("outcome", String(16)),
    Column("reason", String(64)),
    Column("detail", Text),
)

NEVER = 9_000_000_000_000_000_000  # after every due date: tasks without one come last in a list by date

tasks = Table(
    "actions_tasks",
    metadata,
    Column("seq", Long, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),  # the id of the action that made it
    Column("play", String(64), nullable=False),  # "" for a task made by hand, and so are playbook and step
    Column("playbook", String(256), nullable=False),
    Column("step", String(256), nullable=False),
    Column("account", String(256), nullable=False),  # "" for a task about no account
    Column("contact", String(256)),
    Column("title", Text, nullable=False),
    Column("body", Text),
    Column("assignee", Text),
    Column("reassigned", Boolean, nullable=False, server_default=false()),  # by hand: no step undoes it
    Column("priority", String(64)),
    Column("key", String(512), nullable=False),
    Column("status", String(16), nullable=False),
    Column("reason", String(64)),
    Column("due_at", Long),
    Column("snoozed_until", Long),
    Column("created_at", Long, nullable=False),
    Column("completed_at", Long),
    Column("over_at", Long),  # when it was completed or closed
    Column("partition", Integer),  # of its account; null (no account, or an old task): the first
    Column("completed_by", String(256)),  # name of the API key
    Column("note", Text),
    Column("outcome", Text),
    Column(
        "approves", Boolean, nullable=False, server_default=false()
    ),  # it asks to approve the action of its id
    Column("rule", String(256)),  # of the play, and so is the tier
    Column("tier", String(16)),
    Column("assigned", String(320)),  # the assignee in the form that compares; see `search_columns`
    Column("due_or_never", Long, nullable=False, server_default=str(NEVER)),
    Column("urgency", Integer, nullable=False, server_default="99"),  # of the priority; see `search_columns`
    stamp_column(),
    Index("actions_tasks_stamp", "stamp", "seq"),
    Index("actions_tasks_over", "over_at"),
    Index("actions_tasks_identity", "account", "key", "status"),
    Index("actions_tasks_play", "play"),
    Index("actions_tasks_status", "status", "seq"),
    Index("actions_tasks_rule", "rule", "seq"),
    Index("actions_tasks_reason", "reason", "seq"),
    Index("actions_tasks_tier", "tier", "seq"),
    Index("actions_tasks_created", "created_at", "seq"),
    Index("actions_tasks_playbook", "playbook", "seq"),
    Index("actions_tasks_priority", "priority", "seq"),
    Index("actions_tasks_assigned", "assigned", "seq"),
    Index("actions_tasks_due", "due_or_never", "seq"),
    Index("actions_tasks_urgency", "urgency", "due_or_never", "seq"),
)

# What is left of exported rows that were erased.
export_erased = erased_table(metadata)

# Touchline's own events on their way to the log; a row is deleted once the log has it.
outbox = Table(
    "actions_outbox",
    metadata,
    Column("seq", Long, primary_key=True, autoincrement=True),
    Column("partition", Integer, nullable=False),
    Column("account", String(256), nullable=False),
    Column("value", LargeBinary, nullable=False),
    Index("actions_outbox_partition", "partition", "seq"),
)

# Messages about notices (see `backbone.notices`): one for each that was raised or is over, and each way it is told.
notice_messages = Table(
    "actions_notice_messages",
    metadata,
    Column("notice", String(40), primary_key=True),
    Column("phase", String(8), primary_key=True),  # raised, over
    Column("way", String(16), primary_key=True),  # a channel
    Column("made_at", Long, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("next_at", Long, nullable=False),
    Column("lease_until", Long),  # a process tries to send it
    Column("done_at", Long),
    Column("detail", Text),  # how the last try ended
)

# The times in which sending was off; the one without `on_at` goes on. See `storage.sending`.
sending = Table(
    "actions_sending",
    metadata,
    Column("seq", Long, primary_key=True, autoincrement=True),
    Column("off_at", Long, nullable=False),  # wall clock, and so is `on_at`
    Column("off_by", String(256), nullable=False),  # name of the API key, and so is `on_by`
    Column("off_reason", Text),
    Column("on_at", Long),
    Column("on_by", String(256)),
    Column("on_reason", Text),
    Column("clocks", JSON(none_as_null=True)),  # of the partitions, when it was turned off by the log clock
)
