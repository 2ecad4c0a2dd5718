"""The body of a hook as plain values: JSON, a form, or XML; by its content type, else by how it begins.

`curl -d` says that all it sends is a form. No form begins with `{`, `[` or `<`, which are escaped there, so what does
is read as if nothing had been said of it.

All of it is bounded, as anybody may have sent it. `json.loads` reads what msgspec refuses as a whole for one bad
string or number: these are then refused with the event that holds them.
"""

import json
import re
from codecs import BOM_UTF8
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl
from xml.parsers import expat

import msgspec

from services.ingest.decoding.refusals import NotReadable

MAX_DEPTH = 64
MAX_VALUES = 50_000
MAX_FIELDS = 1_000  # of a form
MAX_DIGITS = 400  # of a whole number; beyond, it is out of range as in a float
FORM = "application/x-www-form-urlencoded"
_NO_FORM = (b"{", b"[", b"<")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_REST = bytes(byte for byte in range(256) if byte not in b"{}[]")
_decode = msgspec.json.Decoder().decode


def read(body: bytes, headers: Mapping[str, str]) -> Any:
    """The value of a body; `headers` with names in lower case. Raises `NotReadable`."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    body = body.removeprefix(BOM_UTF8)  # which some systems write
    begins = body.lstrip()[:1]
    if kind == FORM and begins not in _NO_FORM:
        return _form(body)
    if kind.startswith("multipart/"):
        raise NotReadable("a body should be JSON, a form (application/x-www-form-urlencoded) or XML")
    if kind in {"application/xml", "text/xml"} or kind.endswith("+xml"):
        return _xml(body)
    says_json = kind == "application/json" or kind.endswith("+json")
    if not says_json and begins == b"<":
        return _xml(body)
    value = _json(body)
    if not isinstance(value, dict | list):
        raise NotReadable("JSON should be an object or an array here")
    return value


def _json(body: bytes) -> Any:
    if body.count(b",") > MAX_VALUES and _STRING.sub(b"", body).count(b",") > MAX_VALUES:
        raise NotReadable(f"JSON may have {MAX_VALUES:,} values")
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _deeper(body):
        raise NotReadable(f"JSON may nest {MAX_DEPTH} deep")
    try:
        return _decode(body)
    except RecursionError:
        raise NotReadable(f"JSON may nest {MAX_DEPTH} deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        told = str(error)
    try:
        return json.loads(
            body.decode("utf-8", "surrogateescape"), parse_int=_whole, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):
        raise NotReadable(f"not JSON: {told}") from None


def _deeper(body: bytes) -> bool:
    brackets = _STRING.sub(b"", body).translate(_BRACKETS, _REST)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_DIGITS else float("inf")


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _form(body: bytes) -> dict[str, str]:
    """An object of strings; of a field that comes twice, the last."""
    try:
        pairs = parse_qsl(
            body.decode("utf-8", "surrogateescape"),
            keep_blank_values=True,
            errors="surrogateescape",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise NotReadable(f"a form may have {MAX_FIELDS:,} fields") from None
    return dict(pairs)


def _xml(body: bytes) -> Any:
    reader = _XmlReader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(body.strip(), True)
    except expat.ExpatError as error:
        raise NotReadable(f"not XML: {expat.ErrorString(error.code)}, line {error.lineno}") from None
    except (ValueError, LookupError) as error:  # an encoding that nobody knows
        if isinstance(error, NotReadable):
            raise
        raise NotReadable("not XML: its encoding is unknown") from None
    return reader.root


class _XmlReader:
    """Builds an object from the parser's calls: the root's name holds its content."""

    def __init__(self) -> None:
        self.root: dict[str, Any] = {}
        self._open: list[tuple[str, dict[str, Any], list[str]]] = []
        self._count = 0

    def doctype(self, *_: Any) -> None:
        raise NotReadable("XML with a document type is not read")

    def start(self, name: str, _attributes: Any) -> None:
        self._count += 1
        if self._count > MAX_VALUES:
            raise NotReadable(f"XML may have {MAX_VALUES:,} elements")
        if len(self._open) >= MAX_DEPTH:
            raise NotReadable(f"XML may nest {MAX_DEPTH} deep")
        self._open.append((name.rpartition(":")[2], {}, []))

    def text(self, text: str) -> None:
        self._open[-1][2].append(text)

    def end(self, _name: str) -> None:
        name, children, text = self._open.pop()
        value = children or "".join(text)
        parent = self._open[-1][1] if self._open else self.root
        before = parent.get(name)
        if before is None:
            parent[name] = value
        elif isinstance(before, list):
            before.append(value)
        else:
            parent[name] = [before, value]
