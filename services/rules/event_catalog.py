"""Collects the event types seen on the log, and the names in their data, for the lint. It looks at a small sample."""

import re
from collections.abc import Iterable

from sqlalchemy import Connection, select

from backbone.database import Database, insert_new
from backbone.documents import registry
from schemas.event import Event, is_reserved
from schemas.lint.goals import unsent
from schemas.lint.outline import PlaybookOutline, outline_rule
from schemas.lint.single import Facts, LintWarning, lint_rule
from schemas.names import is_name
from schemas.rule import RuleIn, TiersDoc
from services.rules.engine.explain import tier_of
from services.rules.engine.ruleset import compile_rules
from services.rules.engine.state_codec import decode
from services.rules.storage.revisions import DEFAULT_TIERS, latest
from services.rules.tables import accounts, seen

MAX_TYPES, MAX_NAMES = 1_000, 200
LONGEST = 64  # characters of a name in the data
MANY_DIGITS = re.compile(r"\d{5}")
SAMPLE = 200  # events to look at in each batch
ACCOUNTS = 500  # the newest accounts, whose tiers are looked at


class EventCatalog:
    """Notes new types and names; used by the worker's thread only."""

    def __init__(self, db: Database) -> None:
        with db.read() as conn:
            self._known = _paths(conn)
        self._new: list[tuple[str, str]] = []

    def forget(self) -> None:
        """Note everything again: the result of `take` may not have been written."""
        self._known, self._new = {}, []

    def step(self, count: int) -> int:
        """How far apart the events are that are looked at in a batch of this size; 1 in a small batch."""
        return max(1, count // SAMPLE)

    def note(self, events: list[Event]) -> None:
        """Note the types and names in some of a batch's events."""
        for event in events:
            if is_reserved(event.type):
                continue
            names = self._known.get(event.type)
            if names is None:
                if len(self._known) >= MAX_TYPES or not is_name(event.type):
                    continue
                names = self._known[event.type] = set()
                self._new.append((event.type, ""))
            for name in event.data if isinstance(event.data, dict) else ():
                if name not in names and len(names) < MAX_NAMES and is_name(name) and not _personal(name):
                    names.add(name)
                    self._new.append((event.type, name))

    def take(self) -> list[tuple[str, str]]:
        """The types and names that are new since the last call."""
        new, self._new = self._new, []
        return new


def _personal(name: str) -> bool:
    """Whether a name in the data looks like a value. Personal data must not be kept here, apart from its account."""
    return "@" in name or len(name) > LONGEST or MANY_DIGITS.search(name) is not None


def save(conn: Connection, new: list[tuple[str, str]]) -> None:
    """Write the new types and names. Other workers may have written the same ones."""
    if new:
        insert_new(conn, seen, [{"type": type_, "name": name} for type_, name in new], ["type", "name"])


def warnings_about(db: Database, rule: RuleIn, *, alone: bool = False) -> list[LintWarning]:
    """Warnings about a rule.

    They rest on what the log has shown and, unless `alone`, on the documents that the rule works with.
    """
    known = facts(db)
    found = lint_rule(rule, known)
    if not alone:
        with db.read() as conn:
            found += registry.warnings_about(conn, outline_rule(rule))
            for book in registry.read(conn, [("playbook", rule.playbook or "")]).values():
                found += unsent(book, known) if isinstance(book, PlaybookOutline) else []
    return found


def facts(db: Database) -> Facts:
    """Everything known now, for the lint."""
    with db.read() as conn:
        row = latest(conn, None)
        policy = TiersDoc.model_validate(row.doc if row is not None else {"tiers": DEFAULT_TIERS})
        tiering = compile_rules(0, [], policy)  # without the rules, which may number thousands
        states: Iterable[bytes] = conn.scalars(
            select(accounts.c.state)
            .where(accounts.c.merged_into.is_(None))
            .order_by(accounts.c.seen_at.desc())
            .limit(ACCOUNTS)
        )
        tiers = frozenset(tier_of(tiering, decode(state))[0] for state in states)
        return Facts({type_: frozenset(names) for type_, names in _paths(conn).items()}, tiers)


def _paths(conn: Connection) -> dict[str, set[str]]:
    known: dict[str, set[str]] = {}
    for type_, name in conn.execute(select(seen.c.type, seen.c.name)):
        known.setdefault(type_, set()).update({name} - {""})
    return known
