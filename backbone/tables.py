"""The tables of the backbone: API keys, answers kept for `Idempotency-Key`, outlines, long jobs, notices."""

from sqlalchemy import BigInteger, Column, Float, Index, Integer, LargeBinary, String, Table, Text

from backbone.database import metadata as room

metadata = room("backbone")

keys = Table(
    "backbone_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(256), nullable=False),
    Column("prefix", String(16), nullable=False),  # the start of the key, to tell keys apart in lists
    Column(
        "hash", LargeBinary(32), nullable=False, unique=True
    ),  # SHA-256 of the key, the key itself is not kept
    Column("scopes", Text, nullable=False),  # separated by spaces
    Column("created_at", BigInteger, nullable=False),  # microseconds since the epoch
    Column("revoked_at", BigInteger),
    Column("email", String(320)),  # of the person who has it
    Index("ix_backbone_keys_created_at", "created_at", "id"),
    Index("ix_backbone_keys_name", "name"),
)

idempotency = Table(
    "backbone_idempotency",
    metadata,
    Column("owner", String(32), primary_key=True),  # made from the API key: nobody sees another's
    Column("idempotency_key", String(256), primary_key=True),  # a hash of it
    Column("fingerprint", LargeBinary(32), nullable=False),  # SHA-256 of method, path and body
    Column("status", Integer, nullable=False),
    Column("headers", Text, nullable=False),  # empty: they are sealed with the body
    Column("body", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("ix_backbone_idempotency_created_at", "created_at"),
)

# Who changed what (see `backbone.audit`).
audit = Table(
    "backbone_audit",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False),
    Column("at", BigInteger, nullable=False),  # microseconds since the epoch
    Column("service", String(32), nullable=False),
    Column("actor", String(256), nullable=False),  # the name of the API key
    Column("method", String(32), nullable=False),
    Column("route", String(256), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("name", String(512), nullable=False),
    Column("version", Integer),
    Column("before", Text),  # JSON, without secrets
    Column("after", Text),  # likewise
    Index("ix_backbone_audit_at", "at", "seq"),
    Index("ix_backbone_audit_actor", "actor", "seq"),
    Index("ix_backbone_audit_kind", "kind", "seq"),
    Index("ix_backbone_audit_object", "kind", "name", "seq"),
)

# Outlines of documents, for warnings to other services (see `backbone.documents.registry`).
outlines = Table(
    "backbone_outlines",
    metadata,
    Column("kind", String(32), primary_key=True),  # rule, playbook, template
    Column("name", String(256), primary_key=True),
    Column("version", Integer, nullable=False),  # of the document
    Column("format", Integer, nullable=False),  # of the outline
    Column("outline", LargeBinary, nullable=False),  # JSON
)

# Which documents an outline names.
references = Table(
    "backbone_references",
    metadata,
    Column("kind", String(32), primary_key=True),
    Column("name", String(256), primary_key=True),
    Column("to_kind", String(32), primary_key=True),
    Column("to_name", String(256), primary_key=True),
    Index("ix_backbone_references_to", "to_kind", "to_name", "kind"),
)

# What is known of the installation as a whole.
facts = Table(
    "backbone_facts",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

# Long jobs, each in a process of its own (see `backbone.jobs`).
jobs = Table(
    "backbone_jobs",
    metadata,
    # SQLite numbers rows itself only if the type is INTEGER
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("kind", String(32), nullable=False),  # the kind of job: backtest, rehearsal
    Column("owner", String(32), nullable=False),  # id of the API key that asked for it
    Column("status", String(16), nullable=False),  # see `backbone.jobs.status`
    Column("progress", Float, nullable=False),  # 0 to 1
    Column("body", LargeBinary, nullable=False),  # what the process is given
    Column("shown", LargeBinary, nullable=False),  # JSON: what was asked for, as fields of the answer
    Column("result", LargeBinary),  # JSON: further fields of the answer
    Column("error", Text),
    Column("epoch", Integer, nullable=False),  # how often it was begun; fences the worker that has it
    Column("beat", BigInteger, nullable=False),  # changes as long as that worker lives
    Column("worker", String(64)),  # who has its process; null: nobody
    Column("created_at", BigInteger, nullable=False),  # microseconds since the epoch
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    Index("ix_backbone_jobs_kind", "kind", "status"),
)

# Parts of a long result: `size` items of a series, encoded as the job likes.
job_parts = Table(
    "backbone_job_parts",
    metadata,
    Column("job", String(64), primary_key=True),
    Column("series", String(64), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("size", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

# What the people who run Touchline are told of (see `backbone.notices`). Moments are by the wall clock.
notices = Table(
    "backbone_notices",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("kind", String(32), nullable=False),
    Column("object", String(256), nullable=False),
    Column("detail", Text, nullable=False),
    Column("mark", String(64), nullable=False, server_default=""),  # of whoever raised it
    Column("raised_at", BigInteger, nullable=False),
    Column("over_at", BigInteger),  # null: it is open
    # "kind object" while it is open, else null: of one kind and object one notice at most is open
    Column("open_as", String(300), unique=True),
    Index("backbone_notices_over", "over_at"),
)
