"""The key of a value: what `by` keeps apart, as text. Pure."""

import json
from typing import Any

MAX_KEY = 1024  # characters; an event with a longer key does not match


def key_text(value: Any) -> str | None:
    """A string as it is, a number's or truth value's JSON text; None for anything else, and for what is too long."""
    if type(value) is str:
        return value if len(value) <= MAX_KEY else None
    return json.dumps(value) if type(value) in (bool, int, float) else None
