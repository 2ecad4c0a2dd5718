"""What `vary` makes of a rule: other values at a path as errors name it, be it there or left out."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from backbone.errors import Invalid
from schemas.backtest import BacktestIn
from services.rules.backtest.plan import BASE, Judged
from services.rules.backtest.request import _variants

JSON = dict[str, Any]
RULE: JSON = {
    "name": "r",
    "when": {
        "all_of": {
            "within": "7d",
            "of": [
                {
                    "threshold": {
                        "event": "a",
                        "at_least": 3,
                        "where": {"data.amount": {"gte": 5}, "data.kind": "x"},
                    }
                },
                {"absence": {"event": "b", "for": "1d"}},
            ],
        }
    },
}


def varied(path: str, value: Any) -> JSON:
    (made,) = _variants(Judged(BASE, RULE, 1), path, [value])
    assert RULE["when"]["all_of"]["of"][1]["absence"] == {"event": "b", "for": "1d"}  # a copy was changed
    return made.doc


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("when.all_of.within", "14d"),
        ("when.all_of.of.0.threshold.at_least", {"high": 2}),
        ("when.all_of.of.1.absence.for", "2d"),
        ("when.all_of.of.0.threshold.where.data.amount.gte", 9),
        ("when.all_of.of.0.threshold.where.data.amount", 9),
        ("when.all_of.of.0.threshold.where.data.kind", "y"),
    ],
)
def test_what_is_there_is_changed(path: str, value: Any) -> None:
    doc = varied(path, value)
    members = doc["when"]["all_of"]["of"]
    found = {
        "when.all_of.within": doc["when"]["all_of"]["within"],
        "when.all_of.of.0.threshold.at_least": members[0]["threshold"]["at_least"],
        "when.all_of.of.1.absence.for": members[1]["absence"]["for"],
        "when.all_of.of.0.threshold.where.data.amount": members[0]["threshold"]["where"]["data.amount"],
        "when.all_of.of.0.threshold.where.data.kind": members[0]["threshold"]["where"]["data.kind"],
    }
    if path.endswith("gte"):
        assert found["when.all_of.of.0.threshold.where.data.amount"] == {"gte": value}
    else:
        assert found[path] == value
    assert doc.keys() == RULE.keys()


@pytest.mark.parametrize(
    ("path", "value", "name", "made"),
    [
        ("cooldown", "3d", "cooldown", "3d"),
        ("where.account.tier", "high", "where", {"account.tier": "high"}),
        ("where.account.attributes.arr.gte", 10, "where", {"account.attributes.arr": {"gte": 10}}),
        ("where.not.account.tier", "low", "where", {"not": {"account.tier": "low"}}),
        (
            "unless.threshold",
            {"event": "c", "at_least": 1},
            "unless",
            {"threshold": {"event": "c", "at_least": 1}},
        ),
    ],
)
def test_what_the_rule_leaves_out_is_added(path: str, value: Any, name: str, made: Any) -> None:
    assert varied(path, value)[name] == made


@pytest.mark.parametrize(
    "path", ["name", "status", "when.all_of.of.2.absence.for", "when.all_of.within.x", "a.b"]
)
def test_a_path_that_leads_nowhere_is_named(path: str) -> None:
    with pytest.raises(Invalid) as refused:
        varied(path, "1d")
    assert all(error["field"].startswith(f"vary.{path}") for error in refused.value.errors)


def test_tiers_are_a_list_or_a_policy_as_it_is_put() -> None:
    entries = [{"tier": "high", "where": {"account.attributes.arr": {"gte": 5}}}, {"tier": "tech"}]
    body = {"rule": "r", "tiers": entries}
    plain = BacktestIn.model_validate(body)
    put = BacktestIn.model_validate({**body, "tiers": {"tiers": entries, "version": 3, "changed_by": "jo"}})
    assert put.tiers == plain.tiers
    for wrong in ({"tiers": entries, "x": 1}, {"tiers": [{"tier": "vip"}]}, {"tiers": []}, {}):
        with pytest.raises(ValidationError):
            BacktestIn.model_validate({**body, "tiers": wrong})


@pytest.mark.parametrize("name", ["from", "to"])
@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_utc_cannot_show_is_refused(name: str, time: str) -> None:
    with pytest.raises(ValidationError, match="within the years 1 to 9999"):
        BacktestIn.model_validate({"rule": "r", name: time})
