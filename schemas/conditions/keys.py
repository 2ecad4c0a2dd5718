"""The text form of a value, by which `by` keeps subjects apart. Pure."""

import json
from typing import Any

MAX_KEY = 1024  # characters; an event with a longer key does not match


def key_text(value: Any) -> str | None:
    """A string as it is, the JSON text of a number or truth value; None for anything else, and for a text
    that is too long."""
    if type(value) is str:
        return value if len(value) <= MAX_KEY else None
    return json.dumps(value) if type(value) in (bool, int, float) else None
