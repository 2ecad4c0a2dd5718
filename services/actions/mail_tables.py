"""The tables about mails alone: who gets none, and what came back of those that went out. See `tables`."""

from sqlalchemy import Column, Index, LargeBinary, String, Table, Text, UniqueConstraint

from services.actions.metadata import Long, metadata

# Addresses that get no mail. `address` is a keyed hash (it survives erasure); topic "" means all topics.
suppressions = Table(
    "actions_suppressions",
    metadata,
    Column("seq", Long, primary_key=True, autoincrement=True),
    Column("address", String(64), nullable=False),
    Column("topic", String(256), nullable=False),
    Column("shown", String(512)),  # the address itself, as far as it may be kept
    Column("reason", String(64), nullable=False),
    Column("created_at", Long, nullable=False),
    Column("origin", String(16), nullable=False, server_default="hand"),  # see `storage.suppressions.Origin`
    UniqueConstraint("address", "topic", name="actions_suppressions_address"),
    Index("actions_suppressions_shown", "shown"),
)

# Topics to which somebody came back who had stopped all by the page: that stop does not hold for these.
topic_returns = Table(
    "actions_topic_returns",
    metadata,
    Column("address", String(64), primary_key=True),
    Column("topic", String(256), primary_key=True),
    Column("at", Long, nullable=False),
)

# What providers and mail servers said about our mails; a mail has one row of each kind. See `feedback`.
mail_reports = Table(
    "actions_mail_reports",
    metadata,
    Column("seq", Long, primary_key=True, autoincrement=True),
    Column("action", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("address", String(64), nullable=False),  # the hash of the recipient's, as of suppressions
    Column("at", Long, nullable=False),  # when it came
    Column("happened_at", Long, nullable=False),  # as the report says, else when it came
    Column("provider", String(16), nullable=False),
    Column("detail", Text, nullable=False),
    UniqueConstraint("action", "kind", name="actions_mail_reports_action"),
    Index("actions_mail_reports_address", "address", "kind", "at"),
)

# Tokens that a provider has signed in place of a body: each is good for one body alone. Old rows are dropped.
mail_tokens = Table(
    "actions_mail_tokens",
    metadata,
    Column("token", LargeBinary(32), primary_key=True),  # its hash
    Column("body", LargeBinary(32), nullable=False),  # the hash of the body that it came with
    Column("at", Long, nullable=False),  # wall clock
    Index("actions_mail_tokens_at", "at"),
)
