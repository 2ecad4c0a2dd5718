"""The register of the trigger kinds' oracles. A new kind has a file in this folder and a line in `KINDS`."""

from tests.oracle.kinds.absence import Absence
from tests.oracle.kinds.base import Kind
from tests.oracle.kinds.becomes import Becomes
from tests.oracle.kinds.date import Date
from tests.oracle.kinds.threshold import Threshold
from tests.oracle.kinds.trend import Trend

KINDS: dict[str, Kind] = {
    "threshold": Threshold(),
    "absence": Absence(),
    "trend": Trend(),
    "date": Date(),
    "becomes": Becomes(),
}
