"""The table of digests, see `services.actions.tables`."""

from sqlalchemy import JSON, Column, Index, Integer, String, Table, text

from services.actions.metadata import Long, metadata

# What plays have put on digests, see `plays.digests`. `action`: the mail that it went with; null: it waits.
digest_items = Table(
    "actions_digest_items",
    metadata,
    Column("seq", Long, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("digest", String(64), nullable=False),  # a hash of recipient and key
    Column("home", Integer, nullable=False),  # the partition whose owner sends the digest
    Column("partition", Integer, nullable=False),  # of the account
    Column("play", String(64), nullable=False),
    Column("account", String(256), nullable=False),
    Column("contact", String(256)),
    Column("since", Long, nullable=False),  # collected for the first digest after this moment
    Column("due", Long, nullable=False),  # the moment of that, if it is the first item
    Column("gone_at", Long),  # since when its play obeys an exit
    Column("action", String(64)),
    Column("item", JSON, nullable=False),
    Column("scope", JSON, nullable=False),  # what the template sees of it
    Index(
        "actions_digest_items_due",
        "home",
        "due",
        sqlite_where=text("action IS NULL"),
        postgresql_where=text("action IS NULL"),
    ),
    Index("actions_digest_items_digest", "digest", "since"),
    *(Index(f"actions_digest_items_{name}", name) for name in ("play", "account", "action")),
)
