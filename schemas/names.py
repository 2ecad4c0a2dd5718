"""Names: ids of accounts and contacts, event types, sources. One limit holds in the API and in the tables.

Ingest refuses anything else. Other programs may write to the log directly, and anything can stand there.
"""

from typing import Any, TypeGuard

MAX_NAME = 256  # characters


def is_name(text: Any) -> TypeGuard[str]:
    """Whether the API accepts this as a name, and every table can hold it."""
    return isinstance(text, str) and 1 <= len(text) <= MAX_NAME and "\0" not in text


def fitting(text: str | None, limit: int | None = None) -> str | None:
    """The text, cut to what a column of this many characters holds."""
    return None if text is None else text.replace("\0", "")[:limit]
