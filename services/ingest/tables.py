"""The tables of the ingest service: its documents, Segment's users, merges, erased accounts, and the directory."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table, Text

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

# How far the directory has read each partition, and who may write next (see `backbone.ownership`).
partitions = Table(
    "ingest_partitions",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
)

# By what accounts can be found. Keys are keyed hashes of a kind, a system and a value (see `identity.directory`).
directory = Table(
    "ingest_directory",
    metadata,
    Column("account", String(256), primary_key=True),
    Column("kind", String(16), primary_key=True),  # external_id, domain or email
    Column("name", String(256), primary_key=True),  # the system; the contact whose address it is
    Column("key", LargeBinary(16), primary_key=True),  # empty: a contact without an address
    Column("text", String(256)),  # the id or domain; addresses are kept as keys alone
    Index("ix_ingest_directory_key", "key"),
)

# The accounts that exist, by the key of their id.
known_accounts = Table(
    "ingest_known_accounts", metadata, Column("account", LargeBinary(16), primary_key=True)
)

# Merges that the directory follows, by the keys of both ids. One counts once both are there: the merge on the log of
# the closed account, and the record that says the other one has taken it in.
closed = Table(
    "ingest_closed",
    metadata,
    Column("account", LargeBinary(16), primary_key=True),
    Column("into", LargeBinary(16), primary_key=True),
    Column("taken_in", Boolean, primary_key=True),
    Column("lone", Boolean, nullable=False),  # the account stood for one Segment user alone
    Index("ix_ingest_closed_into", "into"),
)

# Updates that the directory has followed, so that one that is sent again changes nothing.
followed = Table(
    "ingest_followed",
    metadata,
    Column("name", LargeBinary(16), primary_key=True),  # of account, source and id
    Column("account", LargeBinary(16), nullable=False),
    Column("at", BigInteger, nullable=False),  # microseconds
    Index("ix_ingest_followed_account", "account"),
    Index("ix_ingest_followed_at", "at"),
)

# Where the events of sources went, so that a repeat goes there too.
placed = Table(
    "ingest_placed",
    metadata,
    Column("name", LargeBinary(16), primary_key=True),  # of source and id
    Column("account", String(256), primary_key=True),
    Column("received_at", BigInteger, nullable=False),
    Index("ix_ingest_placed_account", "account"),
    Index("ix_ingest_placed_received_at", "received_at"),
)

# Events whose account nobody knows yet.
unmatched = Table(
    "ingest_unmatched",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("name", LargeBinary(16), nullable=False, unique=True),  # as in `placed`
    Column("source", String(256), nullable=False),
    Column("event", LargeBinary, nullable=False),  # JSON, without an account
    Column("whose", LargeBinary, nullable=False),  # JSON
    Column("partition", Integer, nullable=False),  # whose worker sends it on
    Column("received_at", BigInteger, nullable=False),
    # something that it asks for has changed, or it is on its way: its partition's worker looks at it
    Column("due", Boolean, nullable=False),
    Column("going", Text),  # JSON: where it goes; null: nobody knows yet
    Index("ix_ingest_unmatched_due", "due", "partition"),
    Index("ix_ingest_unmatched_source", "source", "seq"),
    Index("ix_ingest_unmatched_received_at", "received_at"),
)

# The keys that would have found its account.
unmatched_keys = Table(
    "ingest_unmatched_keys",
    metadata,
    Column("key", LargeBinary(16), primary_key=True),
    Column("event", BigInteger, primary_key=True, autoincrement=False),  # `seq`
    Index("ix_ingest_unmatched_keys_event", "event"),
)
