"""The outline registry, against which saves are checked (docs/decisions/0006-warnings-from-a-board.md).

A service writes the outline of a rule, playbook or template here in the transaction of its save. So the next save
of any of them, in whichever process, is warned of what does not fit. Ingest can also warn of a value that one of
them reads as a number or a date and that is neither. A document that another one names is not deleted: see
`backbone.documents.in_use`.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
from pydantic import ValidationError
from sqlalchemy import Connection, Select, delete, insert, select, text

from backbone.database import Database, upsert
from backbone.tables import outlines, references
from schemas.lint.outline import (
    FORMAT,
    TYPES,
    Outline,
    PlaybookOutline,
    RuleOutline,
    TemplateOutline,
    TiersOutline,
    kind_of,
    refers,
)
from schemas.lint.single import LintWarning
from schemas.lint.together import lint_together, told

MOST_BESIDE = 1_000  # rules, or playbooks, that a save is compared with
MOST_RIVALS_READ = 50  # rules for the same playbook that the save of a rule is compared with
MOST_WARNINGS = 100  # warnings about one document
AT_ONCE = 500  # names in one query
Kind = TypeVar("Kind", bound=Outline)
_encode = msgspec.json.Encoder().encode


class RegistryWatch:
    """Knows when this process last wrote to the registry. Other processes' writes are found by looking now and then."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._last = -math.inf

    def note(self) -> None:
        """Note that the registry is being written, in a transaction that ends soon."""
        self._last = self._monotonic()

    def within(self, seconds: float) -> bool:
        """Whether this process has written within this time."""
        return self._monotonic() - self._last < seconds


changes = RegistryWatch()


def write(conn: Connection, outline: Outline, version: int) -> None:
    """Write the outline of a document that is being saved."""
    kind, name = kind_of(outline), outline.name
    row = {
        "kind": kind,
        "name": name,
        "version": version,
        "format": FORMAT,
        "outline": _encode(outline),
    }
    upsert(conn, outlines, [row], ["kind", "name"])
    conn.execute(delete(references).where(references.c.kind == kind, references.c.name == name))
    changes.note()
    if named := refers(outline):
        rows = [{"kind": kind, "name": name, "to_kind": k, "to_name": n} for k, n in sorted(named)]
        conn.execute(insert(references), rows)


def remove(conn: Connection, kind: str, name: str) -> None:
    """Delete the outline of a document that is being deleted."""
    changes.note()
    for table in (outlines, references):
        conn.execute(delete(table).where(table.c.kind == kind, table.c.name == name))


def warnings_about(conn: Connection, outline: Outline) -> list[LintWarning]:
    """The warnings about this document, as it would be after the save, together with the documents in the registry."""
    if isinstance(outline, TiersOutline):
        return []  # tiers are not compared with other documents
    rules, books, mails = _beside(conn, outline)
    found = told(lint_together(rules, books, mails), kind_of(outline), outline.name)
    return [*_missing(conn, outline, books), *found][:MOST_WARNINGS]


def playbooks(conn: Connection) -> dict[str, PlaybookOutline] | None:
    """The outlines of all playbooks; None if there are more than a save is compared with."""
    every = select(outlines.c.outline).order_by(outlines.c.name).limit(MOST_BESIDE + 1)
    found = _read(conn, PlaybookOutline, [every])
    return found if len(found) <= MOST_BESIDE else None


def tier_policy(conn: Connection) -> tuple[int, TiersOutline] | None:
    """The tier policy in force and its version; None: none was saved, or rules has another database."""
    query = select(outlines.c.version, outlines.c.outline)
    row = conn.execute(query.where(outlines.c.kind == "tiers", outlines.c.format == FORMAT)).one_or_none()
    return None if row is None else (row.version, msgspec.json.decode(row.outline, type=TiersOutline))


def _missing(conn: Connection, outline: Outline, books: Mapping[str, PlaybookOutline]) -> list[LintWarning]:
    """The warning that a rule in force names a missing playbook.

    If playbooks are kept elsewhere, nobody can tell.
    """
    if not isinstance(outline, RuleOutline) or outline.draft or outline.playbook in {None, *books}:
        return []
    if conn.execute(select(outlines.c.name).where(outlines.c.kind == "playbook").limit(1)).first() is None:
        return []
    message = f"there is no playbook {outline.playbook!r}: triggers start nothing, and yet begin the cooldown"
    return [{"field": "playbook", "message": message}]


def _beside(
    conn: Connection, outline: RuleOutline | PlaybookOutline | TemplateOutline
) -> tuple[list[RuleOutline], dict[str, PlaybookOutline], dict[str, TemplateOutline]]:
    """The document and those related to it: rules, playbooks and templates."""
    if isinstance(outline, RuleOutline):
        books = _named(conn, PlaybookOutline, [outline.playbook] if outline.playbook is not None else [])
        mails = _mails(conn, books)
    elif isinstance(outline, PlaybookOutline):
        books = {outline.name: outline}
        mails = _mails(conn, books)
    else:
        books = _referring(conn, PlaybookOutline, "template", [outline.name])
        mails = {outline.name: outline}
    if isinstance(outline, RuleOutline):
        started = [outline.playbook] if outline.playbook is not None else []
        rivals = _referring(conn, RuleOutline, "playbook", started, MOST_RIVALS_READ)
        rules = {**rivals, outline.name: outline}
    else:
        rules = _referring(conn, RuleOutline, "playbook", books)
    if not isinstance(outline, TemplateOutline) and any(rule.hears for rule in rules.values()):
        rules = _hearing(conn) | rules
        books = (
            _named(conn, PlaybookOutline, {one.playbook for one in rules.values() if one.playbook}) | books
        )
    return list(rules.values()), books, mails


def _hearing(conn: Connection) -> dict[str, RuleOutline]:
    """The rules that fire at Touchline's own events. Every loop goes through one of them."""
    names = select(references.c.to_name).where(references.c.to_kind == "event").distinct()
    return _referring(conn, RuleOutline, "event", conn.scalars(names).all())


def _mails(conn: Connection, books: Mapping[str, PlaybookOutline]) -> dict[str, TemplateOutline]:
    return _named(conn, TemplateOutline, {use.what for book in books.values() for use in book.templates})


def _named(conn: Connection, type_: type[Kind], names: Iterable[str]) -> dict[str, Kind]:
    """The outlines with these names that exist."""
    listed = sorted(names)
    parts = (listed[start : start + AT_ONCE] for start in range(0, len(listed), AT_ONCE))
    return _read(conn, type_, (select(outlines.c.outline).where(outlines.c.name.in_(part)) for part in parts))


def _referring(
    conn: Connection, type_: type[Kind], to_kind: str, names: Iterable[str], most: int = MOST_BESIDE
) -> dict[str, Kind]:
    """The outlines of the documents that name these, at most `most` for each."""
    same = (references.c.kind == outlines.c.kind) & (references.c.name == outlines.c.name)
    joined = select(outlines.c.outline).join(references, same).where(references.c.to_kind == to_kind)
    ordered = joined.order_by(outlines.c.name).limit(most)
    return _read(conn, type_, (ordered.where(references.c.to_name == name) for name in sorted(names)))


def _read(conn: Connection, type_: type[Kind], queries: Iterable[Select[Any]]) -> dict[str, Kind]:
    kind = next(kind for kind, one in TYPES.items() if one is type_)
    decode = msgspec.json.Decoder(type_).decode
    whole = (query.where(outlines.c.kind == kind, outlines.c.format == FORMAT) for query in queries)
    found = (decode(row) for query in whole for row in conn.scalars(query))
    return {one.name: one for one in found}


def refresh(
    db: Database,
    kind: str,
    versions: Callable[[Connection], Mapping[str, int]],
    make: Callable[[Connection, str], Outline],
) -> None:
    """Bring the registry up to date with a service's tables: after an upgrade, or after saves that bypassed it.

    `versions`: the existing documents, each with its version; `make` gives the outline of one.
    """
    with db.read() as conn:
        if _known(conn, kind) == versions(conn):
            return
    with db.write() as conn:
        if conn.dialect.name == "postgresql":  # keeps saves from writing meanwhile
            conn.execute(text("LOCK TABLE backbone.backbone_outlines IN EXCLUSIVE MODE"))
        known, there = _known(conn, kind), versions(conn)
        for name in known.keys() - there.keys():
            remove(conn, kind, name)
        for name, version in there.items():
            if known.get(name) != version:
                with suppress(ValidationError):  # written by an older version of this program: no warnings
                    write(conn, make(conn, name), version)


Place = tuple[str, str]  # kind, name


def versions_of(conn: Connection, kinds: Iterable[str]) -> dict[Place, int]:
    """The version of every outline of these kinds."""
    columns = (outlines.c.kind, outlines.c.name, outlines.c.version)
    query = select(*columns).where(outlines.c.kind.in_(list(kinds)), outlines.c.format == FORMAT)
    return {(kind, name): version for kind, name, version in conn.execute(query)}


def read(conn: Connection, places: Iterable[Place]) -> dict[Place, Outline]:
    """The outlines of these documents that exist."""
    by_kind: dict[str, list[str]] = {}
    for kind, name in places:
        by_kind.setdefault(kind, []).append(name)
    return {
        (kind, name): outline
        for kind, names in by_kind.items()
        for name, outline in _named(conn, TYPES[kind], names).items()
    }


def _known(conn: Connection, kind: str) -> dict[str, int]:
    """The version of each outline; 0 if it has another format."""
    mine = select(outlines.c.name, outlines.c.version, outlines.c.format).where(outlines.c.kind == kind)
    return {name: version if format_ == FORMAT else 0 for name, version, format_ in conn.execute(mine)}
