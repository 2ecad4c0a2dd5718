"""Finds event types that may mean the same: one that a rule listens to, and one that the log shows."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

_WORDS = re.compile(r"[^a-z0-9]+")
_SPLIT = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")  # signedUp
CLOSE = 0.85  # by difflib's measure: a letter or two in a name of ten


def alike(wanted: str, seen: Iterable[str]) -> str | None:
    """The seen type that most likely means `wanted`; None: none is similar.

    First types with the same words in any order, however joined (`account_signed_up`, `SignedUp Account`),
    then types that differ by a letter or two (`invoice.overdued`).
    """
    others = sorted(name for name in seen if name != wanted)
    words = _words(wanted)
    same = [name for name in others if _words(name) == words]
    if same:
        return same[0]
    spelled = {" ".join(_words(name)): name for name in reversed(others)}
    close = get_close_matches(" ".join(words), spelled, 1, CLOSE)
    return spelled[close[0]] if close else None


def _words(name: str) -> list[str]:
    return sorted(word for word in _WORDS.split(_SPLIT.sub(" ", name).lower()) if word)
