"""Names: ids of accounts and contacts, types, sources. One limit at the door and in the tables.

Our door refuses what is no name. Other programs may write to the log directly: there anything can stand.
"""

from typing import Any, TypeGuard

MAX_NAME = 256  # characters


def is_name(text: Any) -> TypeGuard[str]:
    """Whether the door lets this in as a name, and every table holds it."""
    return isinstance(text, str) and 1 <= len(text) <= MAX_NAME and "\0" not in text


def fitting(text: str | None, limit: int | None = None) -> str | None:
    """A text as a column of so many characters takes it."""
    return None if text is None else text.replace("\0", "")[:limit]
