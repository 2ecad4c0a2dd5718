"""The tables of the ingest service: its documents, what it keeps of Segment's users, merges, and the erased."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table

from backbone.database import metadata as room
from backbone.documents.store import document_tables

metadata = room("ingest")
documents = document_tables(metadata)


def _user(name: str = "user") -> Column[str]:
    return Column(name, String(256), primary_key=True)


def _unvouched() -> Column[bool]:
    return Column("unvouched", Boolean, primary_key=True)  # it came with a `track` key alone


# The group calls of each user; a call belongs to the last at or before its time.
group_calls = Table(
    "ingest_group_calls",
    metadata,
    _user(),  # userId, else anonymousId
    _unvouched(),
    Column("time", BigInteger, primary_key=True),  # of the call, microseconds since the epoch
    Column("group", String(256), nullable=False),
    Index("ix_ingest_group_calls_group", "group"),
)

# Who an anonymous user is, from a time on.
ties = Table(
    "ingest_ties",
    metadata,
    _user("anonymous"),
    _unvouched(),
    Column("time", BigInteger, primary_key=True),
    Column("user", String(256), nullable=False),
    Column("told", Boolean, nullable=False),  # the merge that it asks for, if any, is on the log
    Index("ix_ingest_ties_user", "user"),
)

# What is known of a user.
users = Table(
    "ingest_users",
    metadata,
    _user(),
    _unvouched(),
    Column(
        "lone", Boolean, nullable=False
    ),  # there were calls that belong to no group: the user has an account
    Column("traits", LargeBinary),  # as the data of a contact update, JSON; null: nothing was said
)

# Where calls went, so that they go there when they are sent again.
calls = Table(
    "ingest_calls",
    metadata,
    Column("name", LargeBinary(16), primary_key=True),  # of user as sent, messageId, and whether unvouched
    Column("user", String(256), nullable=False),  # as sent
    Column("account", String(256), nullable=False),
    Column("contact", String(256)),
    Column("time", BigInteger, nullable=False),
    Column("follows", Integer, nullable=False),  # what followed from it, see `sources.identity`
    Column("received_at", BigInteger, nullable=False),
    Index("ix_ingest_calls_account", "account"),
    Index("ix_ingest_calls_received_at", "received_at"),
)

# Accounts that were merged, as keyed hashes: they tell nothing of whom is erased.
merges = Table(
    "ingest_merges",
    metadata,
    Column("account", LargeBinary(16), primary_key=True),
    _unvouched(),
    Column("into", LargeBinary(16), nullable=False),
    Column("lone", Boolean, nullable=False),  # made of Segment calls; whether it was carried out, rules know
    Column("told", Boolean, nullable=False),  # it is on the log
)

# Accounts that were erased and not made anew since, as keyed hashes.
erased = Table(
    "ingest_erased",
    metadata,
    Column("account", LargeBinary(16), primary_key=True),
    Column("erased_at", BigInteger, nullable=False),
)
