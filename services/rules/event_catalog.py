"""The event types that the log has shown, and the names in their data, for the lint. A small sample."""

import re
from collections.abc import Iterable

from sqlalchemy import Connection, select

from backbone.database import Database, insert_new
from backbone.documents import registry
from schemas.event import Event, is_reserved
from schemas.lint.outline import outline_rule
from schemas.lint.single import Facts, LintWarning, lint_rule
from schemas.names import is_name
from schemas.rule import RuleIn, TiersDoc
from services.rules.engine.explain import tier_of
from services.rules.engine.ruleset import compile_rules
from services.rules.engine.state_codec import decode
from services.rules.storage.revisions import DEFAULT_TIERS, latest
from services.rules.tables import accounts, seen

MAX_TYPES, MAX_NAMES = 1_000, 200
LONGEST = 64  # characters of a name in data
MANY_DIGITS = re.compile(r"\d{5}")
SAMPLE = 200  # events looked at in each batch
ACCOUNTS = 500  # the newest accounts, whose tiers are looked at


class EventCatalog:
    """Notes new types and names; used by the worker's thread only."""

    def __init__(self, db: Database) -> None:
        with db.read() as conn:
            self._known = _paths(conn)
        self._new: list[tuple[str, str]] = []

    def forget(self) -> None:
        """Note everything again: what `take` returned may not have been written."""
        self._known, self._new = {}, []

    def step(self, count: int) -> int:
        """The distance between the events that are looked at in a batch of this size: 1 in a small one."""
        return max(1, count // SAMPLE)

    def note(self, events: list[Event]) -> None:
        """Look at some events of a batch."""
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
        """What is new since the last time."""
        new, self._new = self._new, []
        return new


def _personal(name: str) -> bool:
    """Whether a name in data looks like a value. Personal data must not be kept beside all accounts."""
    return "@" in name or len(name) > LONGEST or MANY_DIGITS.search(name) is not None


def save(conn: Connection, new: list[tuple[str, str]]) -> None:
    """Write what is new; other workers may have written the same."""
    if new:
        insert_new(conn, seen, [{"type": type_, "name": name} for type_, name in new], ["type", "name"])


def warnings_about(db: Database, rule: RuleIn, *, alone: bool = False) -> list[LintWarning]:
    """Warnings about a rule, by what the log has shown and, unless `alone`, by the documents it works with."""
    found = lint_rule(rule, facts(db))
    if not alone:
        with db.read() as conn:
            found += registry.warnings_about(conn, outline_rule(rule))
    return found


def facts(db: Database) -> Facts:
    """What is known now."""
    with db.read() as conn:
        row = latest(conn, None)
        policy = TiersDoc.model_validate(row.doc if row is not None else {"tiers": DEFAULT_TIERS})
        tiering = compile_rules(0, [], policy)  # not the rules: they may be thousands
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
