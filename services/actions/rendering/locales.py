"""Whose customs dates and amounts follow: a contact's locale as Babel's (CLDR). Render processes only.

A confined process can open no file, and reading the data of all locales takes seconds. So `map_locales` maps their
files into memory beforehand, where they take up no memory until somebody reads them. Timezones are small: `load_zones`
reads them all.
"""

import io
import mmap
import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError, localedata

from schemas.locales import lookup

DEFAULT = "en-US"
MOST = 64  # locales kept; then all are forgotten, since each takes memory that templates may need
# The parts of a locale's data that neither dates nor amounts need, and that take up most of it.
_UNNEEDED = (
    "unit_patterns",
    "unit_display_names",
    "compound_unit_patterns",
    "languages",
    "territories",
    "scripts",
    "variants",
    "meta_zones",
    "time_zones",
    "date_fields",
    "datetime_skeletons",
    "interval_formats",
)
_found: dict[str, Locale] = {}
_zones: list[ZoneInfo] = []  # `ZoneInfo` gives the same again for as long as somebody holds it


def locale_of(tag: str | None) -> Locale:
    """The locale of a BCP 47 tag (`fr_CA` will do), as exactly as CLDR knows it; else that of the United States."""
    wanted = tag or DEFAULT
    known = _found.get(wanted)
    if known is None:
        if len(_found) >= MOST:
            _found.clear()
            localedata.clear_caches()
        known = _found[wanted] = _looked_up(wanted)
    return known


def map_locales() -> None:
    """Make Babel read its files from memory from now on, where they are mapped."""
    found = {}
    with os.scandir(Path(localedata.__file__).with_name("locale-data")) as folder:
        for entry in folder:
            if entry.name.endswith(".dat"):
                descriptor = os.open(entry.path, os.O_RDONLY)
                found[entry.name] = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
                os.close(descriptor)
    localedata.locale_identifiers()  # reads the folder, once
    localedata.open = lambda path, _mode: io.BytesIO(found[Path(path).name])  # type: ignore[attr-defined]


def load_zones() -> None:
    """Read all timezones, so that no file has to be opened for one later."""
    _zones.extend(ZoneInfo(name) for name in (files("tzdata") / "zones").read_text("utf-8").split())


def _looked_up(wanted: str) -> Locale:
    for tag in (*lookup(wanted), DEFAULT):
        try:
            locale = Locale.parse(tag, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
        for name in _line_of(str(locale)):
            data = localedata.load(name)
            for field in _UNNEEDED:
                data.pop(field, None)
        return locale
    raise LookupError(DEFAULT)


def _line_of(name: str) -> Iterator[str]:
    """A locale and those that it inherits from, as far as its name says."""
    while name:
        if localedata.exists(name):
            yield name
        name = name.rpartition("_")[0]
