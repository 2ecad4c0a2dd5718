"""The one table of the ingest service."""

from sqlalchemy import BigInteger, Column, Index, String, Table

from backbone.database import metadata as room

metadata = room("ingest")

groups = Table(
    "ingest_groups",
    metadata,
    Column("user", String(256), primary_key=True),  # userId, else anonymousId
    Column("group", String(256), nullable=False),  # of that user's last group call: the account
    Column("updated_at", BigInteger, nullable=False),  # microseconds since the epoch
    Index("ix_ingest_groups_group", "group"),
)
