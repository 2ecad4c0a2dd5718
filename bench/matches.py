"""How long `GET /v1/rules/{name}/matches` takes over 20,000 accounts."""

import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.migrations import migrate_all
from backbone.web.pagination import Paging
from bench.measure import REPEATS, Result
from schemas.event import Event, microseconds
from schemas.rule import RuleIn, TiersDoc
from services.rules.api.matches import Matches
from services.rules.engine.processor import InMemoryAccounts, PartitionEngine
from services.rules.engine.ruleset import RuleRevision, compile_rules
from services.rules.storage import queries, revisions
from services.rules.storage.account_cache import account_row

ACCOUNTS, EVENTS_EACH, ITEMS = 20_000, 30, 100
START = datetime(2026, 1, 1, tzinfo=UTC)
WHENS = {
    "storm": {"threshold": {"event": "ticket", "within": "30d", "at_least": 40}},
    "quiet": {"absence": {"event": "login", "for": "14d"}},
}


def matches(tick: Callable[[], None]) -> list[Result]:
    """Seconds of a page of 100, nobody fired; the slower of two kinds of rule."""
    with tempfile.TemporaryDirectory() as name:
        db = Database(f"sqlite:///{Path(name) / 'touchline.db'}")
        migrate_all(db)
        now = _fill(db)
        asked = Matches(db, ManualClock(now), wall=True)
        raw = {rule: [_once(asked, rule) for _ in range(REPEATS)] for rule in WHENS}
        db.close()
    tick()
    value = max(statistics.median(seconds) for seconds in raw.values())
    note = f"{ACCOUNTS} accounts of {EVENTS_EACH} events"
    return [
        Result(
            "matches", value, "s", None, None, {"ours": [one for each in raw.values() for one in each]}, note
        )
    ]


def _once(asked: Matches, rule: str) -> float:
    started = time.perf_counter()
    assert len(asked.page(rule, 0.5, Paging(ITEMS))["items"]) == ITEMS
    return round(time.perf_counter() - started, 3)


def _fill(db: Database) -> int:
    docs = [
        RuleIn.model_validate({"name": name, "when": when, "status": "active"})
        for name, when in WHENS.items()
    ]
    with db.write() as conn:
        for doc in docs:
            saved = doc.model_dump(mode="json", by_alias=True, exclude_unset=True)
            revisions.write(conn, revisions.Save(doc.name, 1, "active", saved), "bench", 0)
    accounts = InMemoryAccounts()
    rules = compile_rules(
        2,
        [RuleRevision(doc.name, 1, 0, "active", doc) for doc in docs],
        TiersDoc.model_validate({"tiers": [{"tier": "tech"}]}),
    )
    engine = PartitionEngine(
        0, clock_mode="log", clock=0, revision=rules, accounts=accounts,
        rulesets=lambda _: rules, fetch=lambda _: Event(type="none"), history=lambda _: iter(()),
    )  # fmt: skip
    time_ = START
    for n in range(EVENTS_EACH):
        time_ = START + timedelta(hours=12 * n)
        engine.apply(
            [
                (
                    n * ACCOUNTS + place,
                    0,
                    Event(
                        id=f"event-{n}",
                        source="api",
                        type=("ticket", "login")[n % 3 == 0],
                        time=time_,
                        account=f"account-{place}",
                    ),
                )
                for place in range(ACCOUNTS)
            ]
        )
    with db.write() as conn:
        rows = [account_row(state, 0, 0) for state in accounts.all()]
        queries.save_accounts(conn, rows)
    return microseconds(time_ + timedelta(days=8))
