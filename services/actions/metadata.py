"""What the tables of the actions service have in common."""

from sqlalchemy import BigInteger, Integer

from backbone.database import metadata as room

metadata = room("actions")
Long = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only as INTEGER
