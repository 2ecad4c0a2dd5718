"""Answers for people, from stored state: why a rule fires or not, and an account with its tier."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, select

from backbone.clock import Clock
from backbone.database import Database
from backbone.errors import Invalid, NotFound
from schemas.event import rfc3339
from schemas.profile import Contact, Profile, is_vouched
from services.rules.clock_ahead import of_account
from services.rules.engine.account_state import AccountState
from services.rules.engine.explain import explain, tier_of
from services.rules.engine.explain_all import explain_all
from services.rules.engine.heartbeats import Heartbeat
from services.rules.engine.ruleset import RuleSet
from services.rules.engine.state_codec import decode
from services.rules.sources import heartbeats_of
from services.rules.storage import queries
from services.rules.storage.ownership import OWNERSHIP
from services.rules.storage.revisions import RuleSets, exists_at
from services.rules.tables import accounts


class _Known(NamedTuple):
    """An account's state, the time at which it is judged, the rules in force, and the heartbeats of its partition.

    `clock`: what is to be said of a clock that had jumped ahead; empty if none had.
    """

    state: AccountState | None
    now: int
    revision: int
    hearts: Mapping[str, Heartbeat]
    clock: dict[str, Any]


class Explainer:
    """Reads committed state, so any rules process can answer for any account."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        *,
        wall: bool,
        partition_of: Callable[[str], int],
        unhealthy: Callable[[str], str | None],
    ) -> None:
        self._db, self._clock, self._wall = db, clock, wall
        self._partition_of = partition_of
        self._rulesets = RuleSets(db)
        self.unhealthy = unhealthy  # rule name to what is wrong with it

    def explain(self, rule: str, account: str, contact: str | None, key: str | None) -> dict[str, Any]:
        """The verdict for one subject now. Raises `NotFound` for an unknown rule."""
        with self._db.read() as conn:
            if not exists_at(conn, rule):
                raise NotFound(f"there is no rule named {rule}")
            known = self._known(conn, account)
        try:
            rules = self._rulesets(known.revision)
            answer = explain(rules, rule, known.state, account, contact, key, known.now, known.hearts)
            return answer | known.clock
        except ValueError as error:
            raise Invalid([{"field": "contact", "message": str(error)}]) from None

    def explain_all(self, account: str) -> list[dict[str, Any]]:
        """The verdict of every rule but drafts, for the account's nearest subject. Raises `NotFound`."""
        with self._db.read() as conn:
            known = self._known(conn, account)
        if known.state is None:
            raise NotFound(f"no event of an account {account!r} has been processed yet")
        answers = explain_all(self._rulesets(known.revision), known.state, known.now, known.hearts)
        return [answer | known.clock for answer in answers]

    def _known(self, conn: Connection, account: str) -> "_Known":
        """What verdicts about an account rest on."""
        row = conn.execute(select(accounts).where(accounts.c.account == account)).one_or_none()
        partition = self._partition_of(account)
        place = OWNERSHIP.positions(conn).get(partition)
        now = self._clock.now() if self._wall or place is None else place.clock
        state = decode(row.state) if row is not None else None
        reached = (0 if place is None else place.clock, None if state is None else state.newest)
        said = of_account(*reached, now) if self._wall else {}
        if said:  # judged by the account's clock: by ours, a window would end before it begins
            now = max(reached[0], reached[1] or 0)
        hearts = heartbeats_of(conn, partition).get(partition, {})
        return _Known(state, now, queries.last_revision(conn), hearts, {"clock": said} if said else {})

    def rules(self) -> RuleSet:
        """The rules and tiers in force. Like `account_view`, not to be called while holding a connection."""
        with self._db.read() as conn:
            revision = queries.last_revision(conn)
        return self._rulesets(revision)

    def account_view(self) -> Callable[[Row[Any]], dict[str, Any]]:
        """A function that makes an account's row an item of the API, with the tiers as they are now.

        Do not call this while holding a connection: compiling takes another one, and every caller may be waiting for
        the one that compiles.
        """
        ruleset = self.rules()
        return lambda row: _account(decode(row.state), ruleset)


def _account(state: AccountState, ruleset: RuleSet) -> dict[str, Any]:
    tier, why = tier_of(ruleset, state)
    profile = state.profile
    return {
        "id": state.account,
        "name": profile.name,
        "tier": tier,
        "tier_reason": why,
        "owner": None if profile.owner is None else msgspec.structs.asdict(profile.owner),
        "timezone": profile.timezone,
        "domains": profile.domains,
        "external_ids": profile.external_ids,
        "attributes": profile.attributes,
        "contacts": [_contact(profile, contact) for contact in profile.contacts.values()],
        "first_event_at": rfc3339(state.earliest),
        "last_event_at": rfc3339(state.newest),
        "merged_into": None if profile.closed is None else profile.closed.into,
    }


def _contact(profile: Profile, contact: Contact) -> dict[str, Any]:
    """A contact as the API shows it; `unvouched` if neither an update nor the account's domains vouch for them."""
    shown = msgspec.structs.asdict(contact)
    if is_vouched(profile, contact):
        del shown["unvouched"]
    return shown
