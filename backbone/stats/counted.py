"""What is counted: a table, the moment by which its rows count, and the dimensions by which they can be split."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
    Text,
    func,
    literal_column,
    select,
    text,
)

QUARTER_US = 900_000_000
EARLIER = 100_000_000  # quarter hours from before the year 1 to the epoch
Long = BigInteger().with_variant(Integer, "sqlite")


@dataclass(frozen=True)
class Counted:
    """A table whose rows are counted.

    `moments`: columns in microseconds; the first that is not null is the row's moment. `dimensions`: the column of
    each. Null and an empty text are one value.
    """

    room: str
    table: str
    kind: str
    moments: tuple[str, ...]
    dimensions: Mapping[str, str]

    def cells(self, row: str) -> dict[str, str]:
        """The values by which a row is counted, as SQL: the columns of both tables below, but for the numbers."""
        moment = f"coalesce({', '.join(f'{row}.{name}' for name in self.moments)})"
        if len(self.moments) == 1:
            moment = f"{row}.{self.moments[0]}"
        return {
            "kind": f"'{self.kind}'",
            # databases round a division towards zero, and this one has to round down
            "quarter": f"({moment} + {EARLIER * QUARTER_US}) / {QUARTER_US} - {EARLIER}",
            **{name: f"coalesce({row}.{column}, '')" for name, column in self.dimensions.items()},
        }

    def recount(self, sign: int = 1) -> Select[Any]:
        """The rows as they are, counted. They can be narrowed with `between`."""
        cells: dict[str, ColumnElement[object]] = {
            name: literal_column(sql) for name, sql in self.cells("counted").items()
        }
        named: list[Any] = [cell.label(name) for name, cell in cells.items()]
        number = (func.count() * sign).label("n")
        rows = Table(self.table, MetaData(schema=self.room)).alias("counted")
        grouped = [cell for name, cell in cells.items() if name != "kind"]
        return select(*named, number).select_from(rows).group_by(*grouped)

    def between(self, start: int, end: int) -> ColumnElement[bool]:
        """Whether a row's moment is in here; `end` is excluded. In a form that the columns' indexes serve."""
        cases: list[str] = []
        before = ""
        for name in self.moments:
            cases.append(f"({before}counted.{name} >= {int(start)} AND counted.{name} < {int(end)})")
            before += f"counted.{name} IS NULL AND "
        return literal_column(f"({' OR '.join(cases)})")


@dataclass(frozen=True)
class StatsTables:
    """The counts of a room."""

    counts: Table  # one row for each kind, quarter hour and combination of values
    changes: Table  # what is to be added to them

    @property
    def dimensions(self) -> list[str]:
        """All that the room's kinds have."""
        known = [one.name for one in self.counts.columns]
        return [name for name in known if name not in {"kind", "quarter", "digest", "n"}]


def stats_tables(metadata: MetaData, *counted: Counted) -> StatsTables:
    """The tables of a room. A dimension that a kind does not have is an empty text there."""
    room = metadata.schema
    names = dict.fromkeys(name for one in counted for name in one.dimensions)

    def values() -> list[Column[str]]:
        return [Column(name, Text, nullable=False, server_default="") for name in names]

    counts = Table(
        f"{room}_stats",
        metadata,
        Column("kind", String(16), primary_key=True),
        Column("quarter", Long, primary_key=True, autoincrement=False),  # quarter hours since the epoch
        Column(
            "digest", LargeBinary(16), primary_key=True
        ),  # of the values, which may be too long for an index
        *values(),
        Column("n", Long, nullable=False),
        Index(f"{room}_stats_none", "n", sqlite_where=text("n = 0"), postgresql_where=text("n = 0")),
    )
    changes = Table(
        f"{room}_stats_changes",
        metadata,
        Column("seq", Long, primary_key=True, autoincrement=True),
        Column("kind", String(16), nullable=False),
        Column("quarter", Long, nullable=False),
        *values(),
        Column("n", Long, nullable=False),
    )
    return StatsTables(counts, changes)
