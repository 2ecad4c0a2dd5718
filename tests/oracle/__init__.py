"""A slow, obvious oracle of what rules mean. It follows the public contract and shares no code with the engine.

It keeps every event that ever arrived, and works out every check anew from the definitions.
"""

from tests.oracle.history import History, Revision
from tests.oracle.merges import run

__all__ = ["History", "Revision", "run"]
