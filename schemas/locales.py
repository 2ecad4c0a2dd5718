"""Locales by their BCP 47 tags: what is a tag, and which of those that there are fits a reader best. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import TypeVar

MAX_TAG = 35  # characters; RFC 5646 asks for at least so many
# RFC 5646, section 2.1. A language has two or three letters; the grammar leaves room for longer ones, but has none.
_TAG = re.compile(
    r"[a-z]{2,3}(-[a-z]{3}){0,3}"  # language
    r"(-[a-z]{4})?(-([a-z]{2}|[0-9]{3}))?"  # script, region
    r"(-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*"  # variants
    r"(-[0-9a-wyz](-[a-z0-9]{2,8})+)*"  # extensions
    r"(-x(-[a-z0-9]{1,8})+)?",  # private use
    re.ASCII | re.IGNORECASE,
)
Found = TypeVar("Found")


class BadLocale(ValueError):
    """The text is no tag of a locale."""


def valid_tag(text: str) -> str:
    """The tag as it was written; raises `BadLocale`."""
    if len(text) > MAX_TAG or _TAG.fullmatch(text) is None:
        hint = f"; did you mean {tag_of(text)}?" if _TAG.fullmatch(tag_of(text)) else ""
        raise BadLocale(f"should be a BCP 47 tag such as fr or pt-BR{hint}")
    return text


def tag_of(text: str) -> str:
    """A locale as other systems write it (`fr_CA.UTF-8`, `fr@euro`), as a tag."""
    return text.strip().partition(".")[0].partition("@")[0].replace("_", "-")


def lookup(text: str | None) -> Iterator[str]:
    """The tag and shorter and shorter ones (RFC 4647, Lookup): zh-Hant-TW, zh-Hant, zh."""
    parts = [part for part in tag_of(text or "").split("-") if part]
    while parts:
        yield "-".join(parts)
        parts.pop()
        while parts and len(parts[-1]) == 1:  # what introduces an extension says nothing by itself
            parts.pop()


def best(choices: Mapping[str, Found], wanted: str | None) -> tuple[str, Found] | None:
    """The choice that fits a reader's locale best, with its tag; None: the default fits best."""
    if not choices or not wanted:
        return None
    known = {tag.lower(): tag for tag in choices}
    for tag in lookup(wanted):
        found = known.get(tag.lower())
        if found is not None:
            return found, choices[found]
    return None
