"""Templates: Jinja2 with autoescaping, and the few words that every template may use."""

import gzip
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from services.console.api import new_once
from services.console.dates import When, day_text, moment_in, when

HERE = Path(__file__).parent
STATIC = HERE / "static"
PREFIX = "/static/console"
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class StaticFile(NamedTuple):
    """A file as it is served, plain and compressed."""

    media_type: str
    content: bytes
    zipped: bytes
    digest: str


@cache
def static_files() -> Mapping[str, StaticFile]:
    """The console's own files and those of others, by their path."""
    found = {}
    for path in sorted(STATIC.rglob("*")):
        if path.suffix in _TYPES:
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:12]
            zipped = gzip.compress(content, mtime=0)
            found[path.relative_to(STATIC).as_posix()] = StaticFile(
                _TYPES[path.suffix], content, zipped, digest
            )
    return found


def static(path: str) -> str:
    """The address of a file, which changes with its content. Raises `KeyError`."""
    return f"{PREFIX}/{static_files()[path].digest}/{path}"


@cache
def environment() -> Environment:
    """The templates of all pages."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(static=static, address=address, new_once=new_once)
    made.filters.update(
        number=number,
        when=_when,
        day=_day,
        plural=plural,
        pretty=pretty,
        seg=segment,
        mailbox=mailbox,
        as_sentence=as_sentence,
        clock=_clock,
        worded=worded,
    )
    return made


def render(template: str, view: Mapping[str, Any]) -> str:
    """A page. `view` has `zone` and `now` besides what the template shows."""
    return environment().get_template(template).render(view)


def segment(text: str) -> str:
    """A name as one part of a path."""
    return quote(str(text), safe="")


def address(path: str, query: Mapping[str, Any] | None = None, **more: Any) -> str:
    """A path with a query; `more` replaces members of it, and what is None or empty is left out."""
    asked = {name: value for name, value in {**(query or {}), **more}.items() if value not in (None, "")}
    return f"{path}?{urlencode(asked, doseq=True)}" if asked else path


def number(value: float | None) -> str:
    """A number with separators between thousands."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}".rstrip("0").rstrip(".")


def plural(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun: "1 play", "2,000 plays"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def pretty(value: Any) -> str:
    """A value as JSON that people can read."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False)


def worded(value: Any) -> str:
    """A value of an attribute: as it is if it is text, else with separators, `yes` or `no`, or as JSON."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return number(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def as_sentence(text: str) -> str:
    """What the API says of an error, with a capital and a full stop."""
    begun = text[:1].upper() + text[1:]
    return begun if not begun or begun[-1] in ".!?" else f"{begun}."


def mailbox(person: Mapping[str, Any] | str | None) -> str:
    """A sender or recipient as mail programs show it: "Jo Lee <jo@us.test>"."""
    if not isinstance(person, Mapping):
        return person or "–"
    name, email = person.get("name"), person.get("email") or "–"
    return f"{name} <{email}>" if name else email


@pass_context
def _when(context: Context, iso: str | None) -> Markup:
    """`<time>` in the reader's zone, how long ago as its hint; a dash for no time."""
    if iso is None:
        return Markup("–")
    shown: When = when(iso, _zone(context), _now(context))
    return _time(shown.iso, shown.ago, shown.text)


@pass_context
def _day(context: Context, iso: str) -> str:
    return day_text(iso, _zone(context), _now(context))


@pass_context
def _clock(context: Context, iso: str) -> Markup:
    """The time of day in the reader's zone, as `<time>`; the day and how long ago as its hint."""
    shown = when(iso, _zone(context), _now(context))
    return _time(shown.iso, f"{shown.text}, {shown.ago}", f"{moment_in(iso, _zone(context)):%H:%M}")


def _time(iso: str, hint: str, text: str) -> Markup:
    return Markup('<time datetime="%s" title="%s">%s</time>') % (iso, hint, text)


def _zone(context: Context) -> ZoneInfo:
    zone: ZoneInfo = context["zone"]
    return zone


def _now(context: Context) -> datetime:
    now: datetime = context["now"]
    return now
