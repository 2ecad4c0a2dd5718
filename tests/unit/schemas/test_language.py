"""Durations, tiered values, conditions, profiles and rules as they may be written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.conditions.codegen import Scope
from schemas.conditions.model import Condition, compile_condition
from schemas.duration import CalendarDuration, parse_calendar, parse_duration
from schemas.event import Event
from schemas.profile import Contact, Profile, apply_update
from schemas.reasons import EXPLAINED, Reason
from schemas.rule import RULE_EXAMPLE, TIERS_EXAMPLE, RuleIn, TiersDoc
from schemas.tiered import Tiered, field_path, for_tier


@pytest.mark.parametrize(
    ("text", "us"), [("90s", 90), ("15m", 900), ("12h", 43200), ("30d", 2592000), ("2w", 1209600)]
)
def test_durations(text: str, us: int) -> None:
    assert parse_duration(text) == us * 1_000_000


@pytest.mark.parametrize("text", ["", "1", "d", "-1d", "1.5d", "1 d", "3mo", "1y", "١d", "999999999w"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match=r"must|months"):
        parse_duration(text)


def test_calendar_durations_are_clamped() -> None:
    month = parse_calendar("1mo")
    assert isinstance(month, CalendarDuration)
    assert month.after(datetime(2026, 1, 31, tzinfo=UTC)).day == 28
    assert month.after(datetime(2026, 1, 31, tzinfo=UTC), 2).day == 31
    assert month.after(datetime(2026, 3, 31, tzinfo=UTC), -1) == datetime(2026, 2, 28, tzinfo=UTC)
    assert parse_calendar("2d") == 2 * 86_400_000_000


def test_tiered_values() -> None:
    kind: TypeAdapter[Any] = TypeAdapter(Tiered[int])
    assert for_tier(kind.validate_python(3), "low") == 3
    some = kind.validate_python({"high": 1})
    assert (for_tier(some, "high"), for_tier(some, "low")) == (1, None)
    for bad in ({}, {"gold": 1}, {"high": "x"}):
        with pytest.raises(ValidationError):
            kind.validate_python(bad)
    assert field_path(("when", "threshold", "at_least", "<tiers>", "high")) == "when.threshold.at_least.high"


DATA = {"s": "high", "n": 5, "f": 5.0, "t": True, "l": ["a", 1], "d": {"x": {"y": "deep"}}, "z": None}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"data.s": "high"}, True),
        ({"data.s": "low"}, False),
        ({"data.n": 5.0}, True),
        ({"data.t": 1}, False),
        ({"data.t": True}, True),
        ({"data.n": True}, False),
        ({"data.n": "5"}, False),
        ({"data.n": {"gte": 5, "lt": 6}}, True),
        ({"data.n": {"gt": 5}}, False),
        ({"data.s": {"gt": "a"}}, True),
        ({"data.s": {"gt": 1}}, False),
        ({"data.t": {"gte": 0}}, False),
        ({"data.gone": {"ne": 1}}, True),
        ({"data.z": {"ne": 1}}, True),
        ({"data.gone": {"not_in": [1]}}, True),
        ({"data.gone": {"exists": False}}, True),
        ({"data.z": {"exists": True}}, False),
        ({"data.gone": {"lt": 1}}, False),
        ({"data.s": {"in": ["high", 3]}}, True),
        ({"data.f": {"in": [5]}}, True),
        ({"data.t": {"in": [1]}}, False),
        ({"data.l": {"in": ["a"]}}, False),
        ({"data.l": {"contains": "a"}}, True),
        ({"data.l": {"contains": True}}, False),
        ({"data.s": {"contains": "ig"}}, True),
        ({"data.s": {"starts_with": "hi"}}, True),
        ({"data.s": {"matches": "g.$"}}, True),
        ({"data.n": {"matches": "5"}}, False),
        ({"data.d.x.y": "deep"}, True),
        ({"data.s.x": "deep"}, False),
        ({"any": [{"data.s": "low"}, {"data.n": 5}]}, True),
        ({"all": [{"data.s": "high"}, {"data.n": 6}]}, False),
        ({"not": {"data.gone": 1}}, True),
        ({"contact.roles": {"contains": "admin"}}, True),
        ({"contact.id": "ann", "contact.active": True}, True),
        ({"account.tier": "low", "account.id": "acme", "account.attributes.arr": {"gt": 1}}, True),
        ({"account.owner.email": "jo@us.test"}, False),
        ({"type": "tick", "source": {"ne": "x"}}, True),
    ],
)
def test_conditions(condition: dict[str, Any], holds: bool) -> None:
    profile = Profile(id="acme", attributes={"arr": 2})
    contact = Contact(id="ann", roles=["admin"])
    scope = Scope(Event(type="tick", data=DATA), profile, contact, "low")
    assert compile_condition(condition)(scope) is holds


def test_conditions_never_raise() -> None:
    condition = compile_condition(
        {"data.x": {"in": [1, "a"]}, "contact.name": "x", "account.attributes.y": {"lt": 1}}
    )
    for data in (None, [], "x", {"x": []}, {"x": {}}, {"x": float("nan")}):
        assert condition(Scope(Event(type="t", data=data))) is False


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"data.x": None},
        {"data.x": [1]},
        {"data.x": {"like": 1}},
        {"data.x": {}},
        {"x": 1},
        {"data": 1},
        {"data..x": 1},
        {"account.foo": 1},
        {"data.x": {"gte": True}},
        {"data.x": {"matches": "("}},
        {"data.x": {"matches": "(?=a)"}},
        {"data.x": {"in": []}},
        {"data.x": {"exists": 1}},
        {"all": []},
        {"data.x": {"in": None}},
    ],
)
def test_no_conditions(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Condition.model_validate(bad)


def test_hostile_texts_stay_texts() -> None:
    text = "'); raise SystemExit #\n{x}"
    scope = Scope(Event(type="t", data={text: text}))
    assert compile_condition({f"data.{text}": text})(scope) is True
    assert compile_condition({f"data.{text}": {"in": [text], "starts_with": text}})(scope) is True


def test_profiles_merge() -> None:
    profile = Profile(id="acme")

    def update(**data: Any) -> None:
        apply_update(profile, Event(type="account.updated", account="acme", data=data))

    update(name="Acme", tier="high", owner={"name": "Jo", "email": "jo@us.test"}, attributes={"a": 1, "b": 2})
    update(
        name=None,
        attributes={"a": None, "c": 3},
        contacts=[{"id": "ann", "email": "a@x.test", "roles": ["admin"]}],
    )
    assert (profile.name, profile.tier, profile.attributes) == (None, "high", {"b": 2, "c": 3})
    update(owner=None, attributes=None, contacts=[{"id": "ann", "active": False}, {"no": "id"}, 3])
    assert (profile.owner, profile.attributes, list(profile.contacts)) == (None, {}, ["ann"])
    ann = profile.contacts["ann"]
    assert (ann.email, ann.roles, ann.active) == ("a@x.test", ["admin"], False)
    apply_update(
        profile, Event(type="contact.updated", contact="ann", data={"email": None, "active": None, "name": 7})
    )
    assert (ann.email, ann.active, ann.name) == (None, True, None)
    apply_update(profile, Event(type="contact.deleted", contact="ann"))
    assert profile.contacts == {}


def test_the_examples_are_rules() -> None:
    rule = RuleIn.model_validate(RULE_EXAMPLE)
    assert rule.model_dump(by_alias=True, exclude_unset=True) == RULE_EXAMPLE
    assert (
        TiersDoc.model_validate(TIERS_EXAMPLE).model_dump(by_alias=True, exclude_unset=True) == TIERS_EXAMPLE
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"when": {}}, "when"),
        ({"when": {"threshold": {"event": "a", "at_most": 1}}}, "when.threshold.within"),
        ({"when": {"threshold": {"event": "a", "at_least": 1, "above": 1}}}, "when.threshold.above"),
        ({"when": {"threshold": {"event": "a"}}}, "when.threshold"),
        ({"when": {"threshold": {"event": "a", "aggregate": "sum", "at_least": 1}}}, "when.threshold.of"),
        ({"when": {"threshold": {"event": "a", "of": "data.x", "at_least": 1}}}, "when.threshold.of"),
        ({"when": {"threshold": {"event": "a", "at_least": {"high": "1"}}}}, "when.threshold.at_least.high"),
        ({"when": {"threshold": {"event": "a", "at_least": True}}}, "when.threshold.at_least"),
        ({"when": {"threshold": {"event": ["*", "a"], "at_least": 1}}}, "when.threshold.event"),
        ({"when": {"threshold": {"event": "a", "at_least": 1, "within": "3mo"}}}, "when.threshold.within"),
        ({"when": {"threshold": {"event": "a", "at_least": 1, "typo": 1}}}, "when.threshold.typo"),
        (
            {"when": {"absence": {"event": "a", "for": "1d", "since": {"event": "b"}, "fire": "on_return"}}},
            "when.absence.fire",
        ),
        ({"when": {"trend": {"event": "a", "over": "1d", "baseline": "1d"}}}, "when.trend"),
        ({"when": {"date": {"attribute": "data.x", "before": "1d"}}}, "when.date.attribute"),
        ({"when": {"becomes": {"is": {"data.x": 1}}}}, "when.becomes.is"),
        ({"scope": "contact", "when": {"threshold": {"event": "a", "within": "1d", "at_most": 1}}}, "scope"),
        ({"by": "data.k", "when": {"threshold": {"event": "a", "within": "1d", "below": 1}}}, "by"),
        ({"cooldown": "never"}, "cooldown"),
        (
            {"unless": {"threshold": {"event": "a", "at_least": 1, "per": "account.attributes.x"}}},
            "unless.threshold.per",
        ),
        ({"name": "no spaces"}, "name"),
        ({"status": "on"}, "status"),
    ],
)
def test_no_rules(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        RuleIn.model_validate({**RULE_EXAMPLE, **change})
    assert field in {field_path(error["loc"]) for error in caught.value.errors()}


def test_every_reason_is_explained() -> None:
    assert set(EXPLAINED) == set(Reason)
