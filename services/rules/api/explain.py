"""Answers for people, from stored state: why a rule fires or not, and an account with its tier."""

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import Row, select

from backbone.clock import Clock
from backbone.database import Database
from backbone.errors import Invalid, NotFound
from schemas.event import rfc3339
from schemas.profile import Contact, Profile, is_vouched
from services.rules.clock_ahead import of_account
from services.rules.engine.account_state import AccountState
from services.rules.engine.explain import explain, tier_of
from services.rules.engine.ruleset import RuleSet
from services.rules.engine.state_codec import decode
from services.rules.sources import heartbeats_of
from services.rules.storage import queries
from services.rules.storage.ownership import OWNERSHIP
from services.rules.storage.revisions import RuleSets, exists_at
from services.rules.tables import accounts


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
            row = conn.execute(select(accounts).where(accounts.c.account == account)).one_or_none()
            place = OWNERSHIP.positions(conn).get(self._partition_of(account))
            revision = queries.last_revision(conn)
            partition = self._partition_of(account)
            hearts = heartbeats_of(conn, partition).get(partition, {})
        now = self._clock.now() if self._wall or place is None else place.clock
        state = decode(row.state) if row is not None else None
        reached = (0 if place is None else place.clock, None if state is None else state.newest)
        said = of_account(*reached, now) if self._wall else {}
        if said:  # judged by the account's clock: by ours, a window would end before it begins
            now = max(reached[0], reached[1] or 0)
        try:
            answer = explain(self._rulesets(revision), rule, state, account, contact, key, now, hearts)
            return answer | ({"clock": said} if said else {})
        except ValueError as error:
            raise Invalid([{"field": "contact", "message": str(error)}]) from None

    def account_view(self) -> Callable[[Row[Any]], dict[str, Any]]:
        """A function that makes an account's row an item of the API, with the tiers as they are now.

        Do not call this while holding a connection: compiling takes another one, and every caller may be waiting for
        the one that compiles.
        """
        with self._db.read() as conn:
            revision = queries.last_revision(conn)
        ruleset = self._rulesets(revision)
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
