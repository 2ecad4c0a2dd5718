"""The tables of the rules service: schema `rules` on PostgreSQL, prefix `rules_` everywhere."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)

from backbone.database import metadata as room_metadata
from backbone.exports.erased import erased_table
from backbone.exports.stamps import stamp_column
from backbone.stats.counted import Counted, stats_tables

metadata = room_metadata("rules")
Long = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows itself only if the type is INTEGER

# How far this service has read each partition, and who may write next (`epoch` fences other workers).
partitions = Table(
    "rules_partitions",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Long, nullable=False),
    Column("next_offset", Long, nullable=False),
    Column("clock", Long, nullable=False),  # microseconds since the epoch
    Column("revision", Integer, nullable=False),
    # the daily tick up to which old triggers have been deleted
    Column("swept", Long, nullable=False, server_default="0"),
)

# One row per account: its profile and the state of every rule, in the engine's own encoding.
accounts = Table(
    "rules_accounts",
    metadata,
    Column("account", String(256), primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("seen_at", Long, nullable=False),  # place in the list of accounts, newest first
    Column("due_at", Long),  # the account's next moment, microseconds
    Column("merged_into", String(256)),  # set for a closed account: lists leave it out
    Column("state", LargeBinary, nullable=False),
    Column(
        "earliest", Long
    ),  # of its events' times, and so is the next; null: not written since there are columns
    Column("newest", Long),
    Column("profile_hash", Long),
    # whether its row in `account_rows` says what its profile says
    Column("shown", Boolean, nullable=False, server_default=false()),
    Index(
        "rules_accounts_unshown",
        "account",
        sqlite_where=text("NOT shown"),
        postgresql_where=text("NOT shown"),
    ),
    Index("rules_accounts_due", "partition", "due_at"),
    Index("rules_accounts_seen", "seen_at", "account"),
)

# Accounts as analysts read them; see `account_rows.py`.
account_rows = Table(
    "rules_account_rows",
    metadata,
    Column("seq", Long, primary_key=True, autoincrement=True),
    Column("account", String(256), nullable=False),
    Column("doc", LargeBinary, nullable=False),  # what the API shows but for the next two, as JSON
    Column("first_event_at", Long, nullable=False),
    Column("last_event_at", Long, nullable=False),
    stamp_column(),
    Index("rules_account_rows_stamp", "stamp", "seq"),
    UniqueConstraint("account", name="rules_account_rows_account"),
)

# What lists of accounts search and filter by (see `storage.listings`).
listings = Table(
    "rules_listings",
    metadata,
    Column("account", String(256), primary_key=True),
    Column("seen_at", Long, nullable=False),  # that of the account
    Column("text", Text, nullable=False),  # of `q`: the account, its domains and contacts
    Column("owner", String(320)),  # the owner's address in the form that compares
    Column("tier", String(16)),
    Column(
        "tiers", Integer, nullable=False
    ),  # the revision of the tiers that the row is by; -1: it is not filled in
    Index("rules_listings_seen", "seen_at", "account"),
    Index("rules_listings_owner", "owner", "seen_at", "account"),
    Index("rules_listings_tier", "tier", "seen_at", "account"),
    Index("rules_listings_tiers", "tiers"),
)

# What was in force, in one history: a row for every version of a rule or of the tiers that came into force, and for
# every change of a rule's status. `changed_by` and `changed_at` are those of the version.
revisions = Table(
    "rules_revisions",
    metadata,
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("name", String(256)),  # null: the tiers
    Column("version", Integer, nullable=False),
    Column("generation", Integer, nullable=False, server_default="0"),
    Column("unless_generation", Integer, nullable=False, server_default="0"),
    Column("status", String(16), nullable=False),  # draft, active, paused, shadow; deleted
    Column("backfill", Boolean, nullable=False, server_default=false()),
    Column("doc", JSON, nullable=False),
    Column("changed_by", String(256), nullable=False),
    Column("changed_at", Long, nullable=False),
    Column("announced", Boolean, nullable=False, server_default=false()),
    # whether a save wrote it; if not, it was a verb or a publication, and its version had rows before
    Column("saved", Boolean, nullable=False, server_default=true()),
    # whether a pause has asked that the rule's plays be held, and the rule was not active since
    Column("holds", Boolean, nullable=False, server_default=false()),
    Index("rules_revisions_name", "name", "revision"),
)

# Every save and every deletion of a rule, whether it is or was in force or not.
versions = Table(
    "rules_versions",
    metadata,
    Column("name", String(256), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("doc", JSON, nullable=False),  # without status and backfill, which are no part of a version
    Column("deleted", Boolean, nullable=False),  # whether this version is the deletion
    Column("changed_by", String(256), nullable=False),
    Column("changed_at", Long, nullable=False),
)

# Every trigger. The table is also the outbox: a trigger that is not `relayed` may not be on the log yet.
triggers = Table(
    "rules_triggers",
    metadata,
    Column("seq", Long, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False),
    Column("rule", String(256), nullable=False),
    Column("account", String(256), nullable=False),
    Column("contact", String(256)),
    Column("at", Long, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("doc", LargeBinary, nullable=False),  # the trigger as JSON
    Column("tier", String(16)),
    # of the trigger's key, which may be too long for an index; see `store.key_digest`
    Column("key_digest", LargeBinary(16)),
    Column("relayed", Boolean, nullable=False, server_default=false()),
    # no play comes of it, so it is not deleted with one
    Column("alone", Boolean, nullable=False, server_default=false()),
    stamp_column(),
    Index("rules_triggers_stamp", "stamp", "seq"),
    UniqueConstraint("id", name="rules_triggers_id"),
    Index("rules_triggers_alone", "partition", "alone", "at"),
    Index("rules_triggers_rule", "rule", "seq"),
    Index("rules_triggers_account", "account", "seq"),
    Index("rules_triggers_at", "at", "seq"),
    Index("rules_triggers_tier", "tier", "seq"),
    Index("rules_triggers_key_digest", "key_digest", "seq"),
    Index("rules_triggers_outbox", "partition", "relayed"),
)

# What is left of exported rows that were erased.
export_erased = erased_table(metadata)

# How many triggers there are, by quarter hours.
COUNTED = (Counted("rules", "rules_triggers", "triggers", ("at",), {"rule": "rule", "tier": "tier"}),)
STATS = stats_tables(metadata, *COUNTED)

# Event types, and the names seen in the data of each ("" for the type itself), for the lint.
seen = Table(
    "rules_seen",
    metadata,
    Column("type", String(256), primary_key=True),
    Column("name", String(256), primary_key=True),
)

# Records on their way to the log: because accounts were merged, and for other partitions. A row is deleted once the
# log has it. Its offset is that of the event that caused it; `n` numbers the records of one offset.
outbox = Table(
    "rules_outbox",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("offset", Long, primary_key=True, autoincrement=False),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("at", Long, nullable=False),  # the partition's clock at that point
    Column("topic", String(64), nullable=False),
    Column("account", String(256), nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("target", Integer),  # the partition that a record of no account is for
)

# What each partition knows of the events that an `alive` clause asks for, in the engine's own encoding.
heartbeats = Table(
    "rules_heartbeats",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("clause", String(32), primary_key=True),
    Column("state", LargeBinary, nullable=False),
)

# Digests of the accounts that were erased, so that nothing under way recreates them.
erased = Table("rules_erased", metadata, Column("account", LargeBinary(16), primary_key=True))

# Requests to start a rule by hand. They leave after a day.
starts = Table(
    "rules_starts",
    metadata,
    Column("id", String(80), primary_key=True),  # follows from the Idempotency-Key
    Column("fingerprint", LargeBinary, nullable=False),  # of the HTTP request
    Column("rule", String(256), nullable=False),
    Column("matching", Boolean, nullable=False),  # only those that still match
    Column("left_out", LargeBinary, nullable=False),  # at once, as JSON
    Column("created_at", Long, nullable=False),
    Index("rules_starts_created", "created_at"),
)

# What actions tells of the plays that a rule's pause concerned, until the pause is answered.
concerned = Table(
    "rules_concerned",
    metadata,
    Column("pause", String(256), primary_key=True),
    Column("part", String(256), primary_key=True),  # the id of the record that told it
    Column("partition", Integer, nullable=False),
    Column("plays", Integer, nullable=False),
    Column("mails", Integer, nullable=False),
    Column("done", Boolean, nullable=False),
    Column("at", Long, nullable=False),  # by the wall clock
    Index("rules_concerned_at", "at"),
)

# What a request asks of one partition, and what that has decided (null: nothing yet), both as JSON.
start_parts = Table(
    "rules_start_parts",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("subjects", LargeBinary, nullable=False),
    Column("answer", LargeBinary),
)

# Erasures that kept backtests have yet to follow (see `backtest.erased`); `contact` is null for the whole account.
backtest_erasures = Table(
    "rules_backtest_erasures",
    metadata,
    Column("seq", Long, primary_key=True, autoincrement=True),
    Column("account", String(256), nullable=False),
    Column("contact", String(256)),
    Column("at", Long, nullable=False),
)
