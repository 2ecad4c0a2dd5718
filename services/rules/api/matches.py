"""Who matches a rule now, over HTTP: from stored states, so that any rules process can answer for all accounts."""

from collections.abc import Iterator, Mapping, Sequence
from heapq import nsmallest
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Path, Query, Response
from sqlalchemy import Connection

from backbone.clock import Clock
from backbone.database import Database
from backbone.errors import NotFound, StateConflict
from backbone.web.api_keys import Principal, require
from backbone.web.app import Pages, json_response
from backbone.web.json_route import JsonRoute
from backbone.web.pagination import Paging, bad_cursor, encode_cursor
from schemas.answers import page_of
from schemas.rule_answers import MatchOut
from services.rules.clock_ahead import of_account
from services.rules.engine.account_state import AccountState
from services.rules.engine.compiled_rule import CompiledRule
from services.rules.engine.heartbeats import Heartbeat
from services.rules.engine.matches import Matching, matching, shown_time, slots_of
from services.rules.engine.ruleset import RuleSet
from services.rules.engine.state_codec import decode_parts
from services.rules.sources import heartbeats_of
from services.rules.storage import queries
from services.rules.storage.ownership import OWNERSHIP
from services.rules.storage.revisions import RuleSets, exists_at, latest

READ_AT_ONCE = 1_000  # accounts
Place = tuple[float, str, str, str]
Near = Annotated[
    float | None,
    Query(
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Also list subjects that do not match yet but have at least this share.",
    ),
]


class Stored(NamedTuple):
    """An account's state, the time at which it is judged, and the heartbeats of its partition."""

    state: AccountState
    at: int
    heartbeats: Mapping[str, Heartbeat]


class Matches:
    """Finds who matches a rule now. Each account is judged at its partition's clock, or by the wall clock at ours."""

    def __init__(self, db: Database, clock: Clock, *, wall: bool) -> None:
        self._db, self._clock, self._wall = db, clock, wall
        self._rulesets = RuleSets(db)

    def page(self, name: str, near: float | None, pages: Paging) -> dict[str, Any]:
        """A page of those that match, the greatest share first. Raises `NotFound`, `StateConflict`, `Invalid`.

        Its cursor holds the time, so that by the wall clock the next page is as of the same moment.
        """
        now, after = self._clock.now(), None
        if pages.cursor is not None:
            then, after = _place(pages.cursor)
            now = min(now, then)
        rules, rule = self.rule(name)
        found = (one for one in self._all(rules, rule, near, now) if after is None or one.place > after)
        best = nsmallest(pages.limit + 1, found, key=lambda one: one.place)
        kept = best[: pages.limit]
        more = encode_cursor(_cursor(now, kept[-1])) if len(best) > pages.limit else None
        return {"items": [_shown(one) for one in kept], "next_cursor": more}

    def rule(self, name: str) -> tuple[RuleSet, CompiledRule]:
        """The rule in force, with all that are. Raises `NotFound`, and `StateConflict` for a draft."""
        with self._db.read() as conn:
            row, revision = latest(conn, name), queries.last_revision(conn)
            if row is None or not exists_at(conn, name):
                raise NotFound(f"there is no rule named {name}")
        rules = self._rulesets(revision)
        rule = rules.by_name.get(name)
        if row.status == "draft" or rule is None:
            raise StateConflict(f"{name} is a draft: it has counted nothing that could match")
        return rules, rule

    def all(self, rules: RuleSet, rule: CompiledRule) -> Iterator[Matching]:
        """Every subject that matches now, in no order."""
        return self._all(rules, rule, None, self._clock.now())

    def states(self, rule: CompiledRule, names: Sequence[str]) -> dict[str, Stored]:
        """The stored states of these accounts, and at which time each is judged; closed ones too."""
        found, now, slots = {}, self._clock.now(), slots_of(rule)
        with self._db.read() as conn:
            clocks, rows = self._clocks(conn), queries.named_accounts(conn, names)
            hearts = heartbeats_of(conn) if rule.alive is not None else {}
        for row in rows:
            state = decode_parts(row.state, slots)
            at = self._judged_at(clocks.get(row.partition), state.newest, now)
            found[row.account] = Stored(state, at, hearts.get(row.partition, {}))
        return found

    def _all(self, rules: RuleSet, rule: CompiledRule, near: float | None, now: int) -> Iterator[Matching]:
        last: str | None = ""
        slots = slots_of(rule)
        while last is not None:
            with self._db.read() as conn:
                clocks, rows = self._clocks(conn), queries.open_accounts(conn, last, READ_AT_ONCE)
                hearts = heartbeats_of(conn) if rule.alive is not None else {}
            for row in rows:
                state = decode_parts(row.state, slots)
                at = self._judged_at(clocks.get(row.partition), state.newest, now)
                yield from matching(rules, rule, state, at, near, hearts.get(row.partition, {}))
            last = rows[-1].account if len(rows) == READ_AT_ONCE else None

    @staticmethod
    def _clocks(conn: Connection) -> Mapping[int, int]:
        return {number: place.clock for number, place in OWNERSHIP.positions(conn).items()}

    def _judged_at(self, clock: int | None, newest: int, now: int) -> int:
        if not self._wall:
            return now if clock is None else clock
        return max(clock or 0, newest) if of_account(clock or 0, newest, now) else now


def matches_router(matches: Matches) -> APIRouter:
    """`/v1/rules/{name}/matches`."""
    router = APIRouter(tags=["rules"], route_class=JsonRoute)

    @router.get(
        "/v1/rules/{name}/matches",
        response_model=page_of(MatchOut),
        summary="List the subjects that match the rule now or nearly do, greatest share first",
    )
    def listed(
        name: Annotated[str, Path(min_length=1, max_length=256)],
        pages: Pages,
        near: Near = None,
        _: Principal = require("rules:read"),
    ) -> Response:
        """Lists subjects whether or not the rule has fired for them. The rule's `where` and `unless` are
        applied, without an event at hand.

        Windows end now. `share` is 1 when the threshold is reached. For a threshold it is `value /
        threshold`, or the inverse for `at_most` and `below`; for an absence, the time waited divided by `for`
        (`value` is in seconds); for a trend, the change divided by the limit; for an `all_of`, the smallest
        share of its members. For `date` and `becomes` it is 1 while the condition holds, else 0.
        """
        return json_response(matches.page(name, near, pages))

    return router


def _cursor(now: int, last: Matching) -> list[str | int]:
    share, account, contact, key = last.place
    return [now, repr(share), account, contact, key]


def _place(cursor: tuple[str | int, ...]) -> tuple[int, Place]:
    try:
        now, share, account, contact, key = cursor
        place = float(share), str(account), str(contact), str(key)
    except ValueError:
        raise bad_cursor() from None
    if not isinstance(now, int):
        raise bad_cursor()
    return now, place


def _shown(one: Matching) -> dict[str, Any]:
    times = {"last_trigger": shown_time(one.last), "cooldown_until": shown_time(one.until)}
    return one.shown() | times
