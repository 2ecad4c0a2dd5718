"""Listings: what lists of accounts search and filter by, a row for each account, beside its state.

The worker writes a row in the transaction that changes the profile. The tier in it is by the tiers of that moment
(`tiers`, a revision); after the tiers are saved, rows are out of date until `refresh` has gone over them. Lists judge
those by the account's state meanwhile, so that they are exact all the time. SQL only.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, and_, bindparam, or_, select, update

from backbone.database import Database, upsert
from schemas.addresses import normal
from schemas.names import fitting
from schemas.profile import Profile
from schemas.search import searchable, sought
from services.rules.engine.account_state import AccountState
from services.rules.engine.ruleset import RuleSet
from services.rules.engine.state_codec import decode_profile
from services.rules.tables import accounts, listings

UNKNOWN = -1  # `tiers` of a row of which nothing is known yet
ADDRESS = 320  # characters of an address that are compared
AT_ONCE = 500  # accounts


class Listing(NamedTuple):
    """A row. `seen_at` is that of the account's own row."""

    account: str
    seen_at: int
    text: str
    owner: str | None
    tier: str
    tiers: int


class Sought(NamedTuple):
    """Which accounts are asked for; None: any."""

    q: str | None = None
    tier: str | None = None
    owner: str | None = None

    def fits(self, profile: Profile, rules: RuleSet) -> bool:
        """Whether an account is one of them."""
        text, owner, tier = _said(profile, rules)
        return (
            (self.q is None or sought(self.q) in text)
            and self.tier in (None, tier)
            and (self.owner is None or address(self.owner) == owner)
        )


def row_of(state: AccountState, rules: RuleSet, now: int) -> Listing:
    """An account's row, by these tiers. `now`: when it was first seen, of one that has no row yet."""
    return Listing(state.account, now, *_said(state.profile, rules), rules.tiers_revision)


def save(conn: Connection, rows: list[Listing]) -> None:
    """Write the rows; one that is there keeps its place in the lists."""
    upsert(conn, listings, [row._asdict() for row in rows], ["account"], keeping=("seen_at",))


def address(text: str | None) -> str | None:
    """An address in the form that compares."""
    return None if text is None else fitting(normal(text[:1_000]), ADDRESS)


ORDER = [listings.c.seen_at, listings.c.account]


def listed(
    conn: Connection, wanted: Sought, rules: RuleSet
) -> tuple[Select[Any], Callable[[Row[Any]], bool] | None]:
    """The query of those accounts, and which of its rows belong to the list (None: all). It holds in this transaction,
    if that sees one state of the database throughout.
    """
    current = listings.c.tiers == rules.tiers_revision
    by_row = [current]
    if wanted.q is not None:
        by_row.append(listings.c.text.contains(sought(wanted.q), autoescape=True))
    if wanted.tier is not None:
        by_row.append(listings.c.tier == wanted.tier)
    if wanted.owner is not None:
        by_row.append(listings.c.owner == address(wanted.owner))
    columns = select(accounts, listings.c.seen_at, listings.c.account, listings.c.tiers)
    query = columns.join(listings, listings.c.account == accounts.c.account)
    query = query.where(accounts.c.merged_into.is_(None))
    if not _is_behind(conn, rules):
        return query.where(*by_row), None

    def fits(row: Row[Any]) -> bool:
        return row.tiers == rules.tiers_revision or wanted.fits(decode_profile(row.state), rules)

    return query.where(or_(and_(*by_row), listings.c.tiers != rules.tiers_revision)), fits


def _is_behind(conn: Connection, rules: RuleSet) -> bool:
    """Whether rows are by other tiers than these."""
    mine, other = rules.tiers_revision, select(listings.c.tiers).limit(1)
    return any(
        conn.scalar(other.where(which)) is not None
        for which in (listings.c.tiers < mine, listings.c.tiers > mine)
    )


def refresh(db: Database, rules: Callable[[], RuleSet]) -> int:
    """Bring the rows up to date that are by other tiers than those in force. Returns how many were.

    A row whose account is being written at that moment is left to the worker. It waits for nobody.
    """
    done = 0
    while found := _refresh_some(db, rules()):
        done += found
    return done


def _refresh_some(db: Database, rules: RuleSet) -> int:
    behind = listings.c.tiers < rules.tiers_revision
    with db.read() as conn:
        names = list(conn.scalars(select(listings.c.account).where(behind).limit(AT_ONCE)))
    if not names:
        return 0
    with db.write() as conn:
        query = select(accounts.c.account, accounts.c.state).where(accounts.c.account.in_(names))
        held = conn.execute(query.with_for_update(skip_locked=True)).all()
        rows = [_bound(row.account, *_said(decode_profile(row.state), rules)) for row in held]
        if rows:
            mine = (listings.c.account == bindparam("name")) & behind
            new: dict[str, Any] = {name: bindparam(f"new_{name}") for name in ("text", "owner", "tier")}
            conn.execute(update(listings).where(mine).values(**new, tiers=rules.tiers_revision), rows)
    return len(rows)


def _bound(account: str, text: str, owner: str | None, tier: str) -> dict[str, str | None]:
    return {"name": account, "new_text": text, "new_owner": owner, "new_tier": tier}


def _said(profile: Profile, rules: RuleSet) -> tuple[str, str | None, str]:
    """The text that `q` searches, the owner's address, and the tier."""
    contacts = (text for one in profile.contacts.values() for text in (one.id, one.name, one.email))
    text = searchable([profile.id, profile.name, *profile.domains, *contacts])
    owner = address(profile.owner.email) if profile.owner is not None else None
    return text, owner, rules.tier(profile)[0]
