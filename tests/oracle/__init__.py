"""A slow, obvious oracle of the rules' meaning, from the public contract; it shares no code with the engine.

It keeps every event that ever arrived and works every check out anew from the definitions.
"""

from tests.oracle.history import History, Revision
from tests.oracle.merges import run

__all__ = ["History", "Revision", "run"]
