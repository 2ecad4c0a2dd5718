"""The saved playbooks and templates, for the pure plays: compiled once per version, read when they are first needed."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, func, select

from backbone import telemetry
from backbone.database import Database
from backbone.documents import registry
from backbone.documents.store import DocumentStore
from schemas.blanks import EndpointTemplates, templates_of
from schemas.brand import KIND as BRAND
from schemas.brand import in_scope
from schemas.playbook import PlaybookIn
from schemas.profile import Profile
from schemas.rule import TierEntry
from schemas.task_mails import KIND as TASK_MAILS_KIND
from schemas.tier_policy import TierPolicy
from services.actions.metrics import show_health
from services.actions.plays.goals import LATE_US
from services.actions.plays.model import LIVE, OPEN_TASK
from services.actions.plays.program import Playbook, compile_playbook, set_aside
from services.actions.tables import actions, documents, partitions, plays, tasks

REFRESH_S = 2.0  # greatest age of the set of event types that matter; a play's own types are always in it
CACHED = 2_000  # how many compiled versions and templates are kept

PLAYBOOKS = DocumentStore(documents, "playbook")
TEMPLATES = DocumentStore(documents, "template")
ENDPOINTS = DocumentStore(documents, "endpoint")
POLICY = DocumentStore(documents, "policy")  # one document, named as its kind
BRANDS = DocumentStore(documents, BRAND)  # one at most, under the name of its kind
TASK_MAILS = DocumentStore(documents, TASK_MAILS_KIND)  # likewise
TOPICS = DocumentStore(documents, "topic")

log_ = telemetry.get_logger("touchline.actions")


def brand_now(connection: Connection) -> dict[str, str | None]:
    """The brand in force as templates see it; every field is null where none was saved."""
    stored = BRANDS.get(connection, BRAND)
    return in_scope(None if stored is None else stored.doc)


def readable(name: str, version: int, doc: Mapping[str, Any]) -> Playbook:
    """A stored playbook, ready to run. It is set aside if this program refuses it; an older one may have saved it."""
    try:
        return compile_playbook(version, PlaybookIn.model_validate({**doc, "name": name}))
    except Exception as error:  # noqa: BLE001  whatever is wrong, it concerns this playbook alone
        return set_aside(name, version, doc, f"{type(error).__name__}: {error}"[:500])


class SqlLibrary:
    """Implements `plays.ports.Library`. Belongs to the worker's thread, except for `stale`."""

    def __init__(self, db: Database, connect: Callable[[], Connection]) -> None:
        self._db, self._connect = db, connect
        self.stale = True  # set from any thread: a playbook was saved
        self.moved = True  # partitions were claimed, with plays that may hold older versions
        self._refreshed = 0.0
        self._compiled: dict[tuple[str, int], Playbook] = {}
        self._templates: dict[tuple[str, int], dict[str, Any]] = {}
        self._current: dict[str, int | None] = {}  # of this batch
        self._current_templates: dict[str, int | None] = {}  # likewise
        self._policy: tuple[int, TierPolicy] | None = None  # and its version; 0: none is known
        self._policy_now: tuple[int, TierPolicy] | None = None  # of this batch
        self._timezone: tuple[str | None] | None = None  # of the sending policy, likewise
        self._endpoints: dict[str, EndpointTemplates] = {}  # likewise
        self._brand: dict[str, str | None] | None = None  # likewise
        self._types: set[str] = set()
        self._every = False
        self._shown: set[str] = set()  # playbooks that are shown as unhealthy

    def refresh(self) -> None:
        """Learn which event types playbooks look out for, if that is stale or `REFRESH_S` old."""
        if not self.stale and not self.moved and time.monotonic() - self._refreshed < REFRESH_S:
            return
        self.stale = False  # before reading, so that a playbook saved from here on is read the next time
        with self._db.read() as conn:
            current = [self._compile(one.name, one.version, one.doc) for one in PLAYBOOKS.all(conn)]
            self._shown = show_health({one.name for one in current if one.unhealthy is not None}, self._shown)
            if self.moved:
                self._of_plays(conn)
        self.moved, self._refreshed = False, time.monotonic()

    def _of_plays(self, conn: Connection) -> None:
        """Compile the versions of plays that are open or held, have open tasks, or are watched for their goal."""
        tasked = select(tasks.c.play).where(tasks.c.status.in_(OPEN_TASK))
        clock = select(func.min(partitions.c.clock)).scalar_subquery()
        watched = (plays.c.goal_until >= clock - LATE_US) & plays.c.goal_reached_at.is_(None)
        known = select(plays.c.playbook, plays.c.playbook_version).where(
            plays.c.playbook_version.is_not(None)
        )
        waiting = select(actions.c.play).where(actions.c.waits)
        left = plays.c.id.in_(tasked), plays.c.id.in_(waiting)
        for which in (plays.c.status.in_(LIVE), *left, watched):
            for name, version in conn.execute(known.where(which).distinct()).all():
                if (name, version) not in self._compiled:
                    self._compile(name, version, PLAYBOOKS.version(conn, name, version).doc)

    def end_batch(self) -> None:
        """Forget which versions are current: that may change from here on."""
        self._current, self._current_templates, self._endpoints = {}, {}, {}
        self._policy_now = self._brand = self._timezone = None
        for cache in (self._compiled, self._templates):
            while len(cache) > CACHED:
                del cache[next(iter(cache))]

    def playbook(self, name: str) -> Playbook | None:
        if name not in self._current:
            stored = PLAYBOOKS.get(self._connect(), name)
            self._current[name] = None if stored is None else stored.version
            if stored is not None:
                self._compile(name, stored.version, stored.doc)
        version = self._current[name]
        return None if version is None else self.version(name, version)

    def version(self, name: str, version: int) -> Playbook:
        found = self._compiled.get((name, version))
        if found is None:
            found = self._compile(name, version, PLAYBOOKS.version(self._connect(), name, version).doc)
        return found

    def template_versions(self, names: frozenset[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for name in sorted(names):
            if name not in self._current_templates:
                stored = TEMPLATES.get(self._connect(), name)
                self._current_templates[name] = None if stored is None else stored.version
                if stored is not None:
                    self._templates[name, stored.version] = stored.doc
            version = self._current_templates[name]
            if version is not None:
                found[name] = version
        return found

    def template(self, name: str, version: int) -> dict[str, Any]:
        found = self._templates.get((name, version))
        if found is None:
            found = self._templates[name, version] = TEMPLATES.version(self._connect(), name, version).doc
        return found

    def endpoint(self, name: str) -> EndpointTemplates:
        if name not in self._endpoints:
            stored = ENDPOINTS.get(self._connect(), name)
            self._endpoints[name] = templates_of({} if stored is None else stored.doc)
        return self._endpoints[name]

    def brand(self) -> dict[str, str | None]:
        if self._brand is None:
            self._brand = brand_now(self._connect())
        return self._brand

    def timezone(self) -> str | None:
        if self._timezone is None:
            stored = POLICY.get(self._connect(), POLICY.kind)
            self._timezone = (None if stored is None else stored.doc.get("timezone"),)
        return self._timezone[0]

    def tier(self, profile: Profile) -> str | None:
        if self._policy_now is None:
            found = registry.tier_policy(self._connect())
            version, entries = (0, []) if found is None else (found[0], found[1].policy)
            if self._policy is None or self._policy[0] != version:
                self._policy = version, TierPolicy([TierEntry.model_validate(one) for one in entries])
            self._policy_now = self._policy
        version, policy = self._policy_now
        return policy.tier(profile)[0] if version else profile.tier

    def watches(self, type_: str) -> bool:
        return self._every or type_ in self._types

    def _compile(self, name: str, version: int, doc: dict[str, Any]) -> Playbook:
        found = self._compiled.get((name, version))
        if found is None:
            found = self._compiled[name, version] = readable(name, version, doc)
            if found.unhealthy is not None:
                log_.error("a playbook is set aside", playbook=name, version=version, error=found.unhealthy)
            for matcher in found.matchers():
                self._types |= matcher.types
                self._every = self._every or matcher.every
        return found
