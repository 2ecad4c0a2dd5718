"""What the `q` of lists finds: a text anywhere in one of several, whatever its case. Pure.

`searchable` joins the texts into one for a column; `sought` puts a `q` into the same form. One is a part of the other
exactly if one of the texts has the `q` in it, on every database.
"""

import unicodedata
from collections.abc import Iterable

APART = "\x1f"  # between two texts; it never stands in one
LONGEST = 50_000  # characters that are searched of one object
_BLANK = str.maketrans({APART: " ", "\0": " "})


def sought(text: str) -> str:
    """The text in the form that compares: composed, without upper case."""
    return unicodedata.normalize("NFC", text).translate(_BLANK).casefold()


def searchable(texts: Iterable[str | None]) -> str:
    """These texts as one."""
    return APART.join(sought(text) for text in texts if text)[:LONGEST]
