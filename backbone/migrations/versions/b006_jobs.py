"""Long jobs, and the parts of their results."""

import sqlalchemy as sa
from alembic import op

revision = "b006"
down_revision = "b004"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "backbone_jobs",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True
        ),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("owner", sa.String(32), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("progress", sa.Float, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("shown", sa.LargeBinary, nullable=False),
        sa.Column("result", sa.LargeBinary),
        sa.Column("error", sa.Text),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("beat", sa.BigInteger, nullable=False),
        sa.Column("worker", sa.String(64)),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Index("ix_backbone_jobs_kind", "kind", "status"),
        schema="backbone",
    )
    op.create_table(
        "backbone_job_parts",
        sa.Column("job", sa.String(64), primary_key=True),
        sa.Column("series", sa.String(64), primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        schema="backbone",
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("backbone_job_parts", schema="backbone")
    op.drop_table("backbone_jobs", schema="backbone")
