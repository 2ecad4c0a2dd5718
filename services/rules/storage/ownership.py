"""How far the rules worker has come in each partition, and who may write on."""

from dataclasses import dataclass

from backbone.log import EVENTS
from backbone.ownership import OwnedPartition, Ownership
from services.rules.tables import partitions


@dataclass(slots=True)
class RulesPartition(OwnedPartition):
    """A partition's row, as in the table; `clock` and `swept` in microseconds."""

    next_offset: int
    clock: int
    revision: int
    swept: int = 0


OWNERSHIP = Ownership(
    partitions, RulesPartition, offsets={EVENTS: "next_offset"}, advanced=("clock", "revision")
)
