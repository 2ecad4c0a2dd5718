"""The tables of the ingest service: its documents, Segment's users, merges, and erased accounts."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table

from backbone.database import metadata as room
from backbone.documents.store import document_tables

metadata = room("ingest")
documents = document_tables(metadata)


def _user(name: str = "user") -> Column[str]:
    return Column(name, String(256), primary_key=True)


def _unvouched() -> Column[bool]:
    return Column("unvouched", Boolean, primary_key=True)  # sent with a key that only has `track`


# The group calls of each user. A call belongs to the user's last group call at or before its time.
group_calls = Table(
    "ingest_group_calls",
    metadata,
    _user(),  # userId, else anonymousId
    _unvouched(),
    Column("time", BigInteger, primary_key=True),  # of the call, microseconds since the epoch
    Column("group", String(256), nullable=False),
    Index("ix_ingest_group_calls_group", "group"),
)

# Which user an anonymous user is, from a time on.
ties = Table(
    "ingest_ties",
    metadata,
    _user("anonymous"),
    _unvouched(),
    Column("time", BigInteger, primary_key=True),
    Column("user", String(256), nullable=False),
    Column("told", Boolean, nullable=False),  # whether the merge that follows from it, if any, is on the log
    Index("ix_ingest_ties_user", "user"),
)

# What Segment's calls have said of a user.
users = Table(
    "ingest_users",
    metadata,
    _user(),
    _unvouched(),
    # there were calls that belong to no group: the user has an account of their own
    Column("lone", Boolean, nullable=False),
    Column("traits", LargeBinary),  # as the data of a contact update, JSON; null: no traits were given
)

# The account and contact that each call was placed at, so that a repeat goes to the same place.
calls = Table(
    "ingest_calls",
    metadata,
    Column("name", LargeBinary(16), primary_key=True),  # of user as sent, messageId, and whether unvouched
    Column("user", String(256), nullable=False),  # as sent
    Column("account", String(256), nullable=False),
    Column("contact", String(256)),
    Column("time", BigInteger, nullable=False),
    Column("follows", Integer, nullable=False),  # what followed from it, see `identity`
    Column("received_at", BigInteger, nullable=False),
    Index("ix_ingest_calls_account", "account"),
    Index("ix_ingest_calls_received_at", "received_at"),
)

# Merged accounts, as keyed hashes, which reveal nothing about erased people.
merges = Table(
    "ingest_merges",
    metadata,
    Column("account", LargeBinary(16), primary_key=True),
    _unvouched(),
    Column("into", LargeBinary(16), nullable=False),
    Column("lone", Boolean, nullable=False),  # made of Segment calls; only rules knows its outcome
    Column("told", Boolean, nullable=False),  # whether it is on the log
)

# Accounts that were erased and have not been recreated, as keyed hashes.
erased = Table(
    "ingest_erased",
    metadata,
    Column("account", LargeBinary(16), primary_key=True),
    Column("erased_at", BigInteger, nullable=False),
)
