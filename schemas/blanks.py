"""Blanks in the URL and the headers of an endpoint: each `{{ expression }}` is filled in with a value. Pure.

A value stays where it stands. In a URL it is percent-encoded, and the host is never a blank; in a header it must be
visible ASCII. What does not fit, or is missing, is refused: a request to another address would reach the wrong record.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from schemas.fields import invalid

MAX_BLANK, MAX_FILLED = 1_024, 8_192  # characters of a value, and of a URL or header with its values
URL = "url"  # the field
BLANK = "{{ expression }}"
_BLANK = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_BEFORE = re.compile(r"https?://[^/?#]+[/?]", re.IGNORECASE)  # of a URL, what comes before its first blank
_DOTS = frozenset({".", ".."})
_MARKS = ("{{", "}}", "{%", "%}", "{#", "#}")


class BlankError(Exception):
    """A blank that cannot be filled in."""


class EndpointTemplates(msgspec.Struct, frozen=True):
    """What is rendered of an endpoint when a step runs.

    `body`: for a step that gives none; None: the endpoint has none. `blanks`: the expressions by the field in which
    they stand, such as `url` or `headers.X-Id`.
    """

    body: Any = None
    blanks: dict[str, list[str]] = {}


def templates_of(endpoint: Mapping[str, Any]) -> EndpointTemplates:
    """What is rendered of a stored endpoint."""
    headers = {f"headers.{name}": value for name, value in (endpoint.get("headers") or {}).items()}
    fields = {URL: endpoint.get("url"), **headers}
    found = {field: blanks(text) for field, text in fields.items() if text and "{{" in text}
    return EndpointTemplates(endpoint.get("body"), found)


def blanks(text: str) -> list[str]:
    """The expressions in a text, in order."""
    return [found.strip() for found in _BLANK.findall(text)]


def literals(text: str) -> list[str]:
    """The pieces of a text between its blanks."""
    return _BLANK.split(text)[::2]


def without_blanks(text: str) -> str:
    """The text with a letter in place of each blank. Raises what `invalid` makes if its braces do not match."""
    if "{{" not in text:
        return text
    pieces = literals(text)
    if any(mark in piece for mark in _MARKS for piece in pieces) or not all(blanks(text)):
        raise invalid("can hold {blank} and nothing else of a template's syntax", blank=BLANK)
    return "x".join(pieces)


def check_url(text: str) -> str:
    """A URL with a letter in place of each blank. Raises what `invalid` makes if one stands outside path and query."""
    plain = without_blanks(text)
    if plain != text:
        before, _, _ = text.partition("{{")
        if _BEFORE.match(before) is None or "#" in before:
            raise invalid("can have {blank} in its path and its query only", blank=BLANK)
    return plain


def check_value(field: str, expression: str, value: Any) -> str:
    """A value as it stands in a field, before it is encoded. Raises `BlankError` if it does not fit there."""
    if isinstance(value, list):
        raise BlankError(f"{field}: {expression} gives {len(value)} values, where one is needed")
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise BlankError(f"{field}: {expression} gives no value")
    text = str(value)
    if len(text) > MAX_BLANK:
        raise BlankError(f"{field}: {expression} gives more than {MAX_BLANK:,} characters")
    if field == URL and text in _DOTS:
        raise BlankError(f"{field}: {expression} gives '{text}', which would lead elsewhere")
    if field != URL and (text != text.strip() or any(not 32 <= ord(char) < 127 for char in text)):
        raise BlankError(f"{field}: {expression} gives something other than visible ASCII characters")
    return text


def fill_url(url: str, values: Mapping[str, Any]) -> str:
    """The URL with its blanks filled in. Raises `BlankError`."""
    filled = _fill(URL, url, values, lambda text: quote(text, safe=""))
    if filled != url and not _DOTS.isdisjoint(urlsplit(filled).path.split("/")):
        raise BlankError("url: part of the path would be '.' or '..', which would lead elsewhere")
    return filled


def fill_header(name: str, text: str, values: Mapping[str, Any]) -> str:
    """The header's value with its blanks filled in. Raises `BlankError`."""
    return _fill(f"headers.{name}", text, values, str)


def _fill(field: str, text: str, values: Mapping[str, Any], written: Callable[[str], str]) -> str:
    if "{{" not in text:
        return text

    def value(found: re.Match[str]) -> str:
        expression = found[1].strip()
        if expression not in values:
            raise BlankError(
                f"{field}: {expression} has no value: the endpoint was changed after the step ran"
            )
        return written(check_value(field, expression, values[expression]))

    filled = _BLANK.sub(value, text)
    if len(filled) > MAX_FILLED:
        raise BlankError(f"{field}: has more than {MAX_FILLED:,} characters with its values")
    return filled
