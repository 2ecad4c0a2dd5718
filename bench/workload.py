"""The workload in the forms that the benchmarks need it in; made once a run by `gen.py`."""

import json
from functools import lru_cache
from typing import Any

from bench import gen
from schemas.rule import RuleIn, TiersDoc
from services.rules.engine.ruleset import RuleRevision, RuleSet, compile_rules

TIERS = {"tiers": [{"tier": "high", "where": {"account.attributes.tier": "high"}},
                   {"tier": "low", "where": {"account.attributes.tier": "low"}}, {"tier": "tech"}]}  # fmt: skip


@lru_cache(maxsize=4)
def lines(count: int) -> list[bytes]:
    """Events as JSON, one a line."""
    return [line.encode() for line in gen.events(count)]


@lru_cache(maxsize=1)
def accounts() -> list[bytes]:
    """One `account.updated` an account, which gives it its tier; earlier than every event."""
    names = [f"a{number:06d}" for number in range(gen.ACCOUNTS)]
    return [
        json.dumps({
            "id": f"tier-{name}", "source": "bench", "type": "account.updated", "account": name,
            "time": "2025-12-31T00:00:00Z", "data": {"tier": gen.tier(name)},
        }).encode()
        for name in names
    ]  # fmt: skip


def forget() -> None:
    """Make it anew: the population has changed."""
    lines.cache_clear()
    accounts.cache_clear()


def rule_documents(count: int, *, idle: bool = False) -> list[dict[str, Any]]:
    """Rules as POST /v1/rules takes them; `idle` ones listen to types that never come."""
    documents = list(gen.rules(count))
    for number, document in enumerate(documents):
        if idle:
            document["when"]["threshold"]["event"] = f"never.{number}"
    return documents


def rule_set(documents: list[dict[str, Any]], *, fastpath: bool = True) -> RuleSet:
    """The rules, compiled as a revision has them; without `fastpath`, for comparison."""
    revisions = [
        RuleRevision(
            name=document["name"],
            version=1,
            generation=0,
            status="active",
            doc=RuleIn.model_validate(document),
        )
        for document in documents
    ]
    return compile_rules(1, revisions, TiersDoc.model_validate(TIERS), fastpath=fastpath)
