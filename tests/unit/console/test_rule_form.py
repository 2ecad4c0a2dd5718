"""The form of a rule: it says what the document says, and a change of a field changes only that."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import FormData

from backbone.yaml.reading import read_yaml
from backbone.yaml.writing import yaml_text
from schemas.when import KINDS
from services.console.pages.rule_edit import drafted, errors_of
from services.console.rule_form import as_form, blank, document_of, field_of, fields_of
from tests.house.tree import ROOT
from tests.unit.console.test_conditions_form import ODD, anything
from tests.unit.console.test_rules import RULE

DOC: dict[str, Any] = {"name": "spike", "when": RULE["when"], "playbook": "call"}
WHEN: dict[str, Any] = RULE["when"]["threshold"]
CANNED = [
    {name: value for name, value in one.value.items() if name != "kind"}
    for path in sorted((ROOT / "playbooks").rglob("*.yaml"))
    for one in read_yaml(path)
    if isinstance(one.value, dict) and one.value.get("kind") == "rule"
]


def unless(body: Any) -> dict[str, Any]:
    return {**DOC, "unless": {"threshold": body}}


def form_of(doc: dict[str, Any], **changed: str) -> FormData:
    """What a browser sends after somebody changed these fields."""
    text = yaml_text(doc)
    pairs = dict(as_form(fields_of(doc)).multi_items())
    sent = [(name, value) for name, value in as_form(fields_of(doc)).multi_items() if name not in changed]
    assert changed.keys() <= {*pairs, "edited", "yaml", "limit.high", "kind", "all_of.kind", "repeat"}
    return FormData([*sent, *{"yaml": text, "yaml_was": text, **changed}.items()])


def test_the_canned_rules_are_there() -> None:
    assert len(CANNED) > 20


@pytest.mark.parametrize(
    "doc", [*CANNED, *map(blank, [*KINDS, "all_of"])], ids=lambda doc: doc["name"] or "blank"
)
def test_a_form_that_nobody_touched_says_the_same(doc: dict[str, Any]) -> None:
    assert document_of(as_form(fields_of(doc)), doc) == (doc, [])


@pytest.mark.parametrize("doc", CANNED, ids=lambda doc: doc["name"])
def test_what_a_change_does_not_concern_stays(doc: dict[str, Any]) -> None:
    found = drafted(form_of(doc, cooldown="77d"))
    assert found.doc == {**doc, "cooldown": "77d"}


KEYS = [
    "event",
    "where",
    "within",
    "at_least",
    "for",
    "since",
    "of",
    "is",
    "before",
    "repeat",
    "min_baseline",
    "x",
]
bodies = st.dictionaries(st.sampled_from([*KEYS, "aggregate"]), anything, max_size=4)
documents = st.fixed_dictionaries(
    {"name": anything},
    optional={
        "when": anything | st.dictionaries(
            st.sampled_from([*KINDS, "all_of", "other"]),
            anything | bodies,
            max_size=2,
        ),
        "where": anything | st.dictionaries(st.text(max_size=6), anything, max_size=3),
        "unless": anything | st.fixed_dictionaries({"threshold": bodies}),
        "alive": anything | bodies,
        "status": anything,
        "cooldown": anything,
        "description": st.text(),
    },
)  # fmt: skip


@given(documents)
def test_whatever_yaml_says_is_shown_and_kept(doc: dict[str, Any]) -> None:
    kept, problems = document_of(as_form(fields_of(doc)), doc)
    assert problems == []
    assert {name: value for name, value in kept.items() if value is not None and name != "when"} == {
        name: value for name, value in doc.items() if value is not None and name != "when"
    }


def test_every_kind_has_its_fields() -> None:
    for kind in KINDS:
        fields = fields_of(blank(kind))
        assert fields.kind == kind
        assert fields.kept == []


def test_what_the_form_has_no_field_for_is_named() -> None:
    doc = {
        "name": "x",
        "when": {"threshold": {"event": "a", "where": ODD, "since": {"event": "b", "where": ODD}, "above": 1}},
        "unless": {"threshold": {}},
        "alive": {"event": "login", "every": "1d"},
    }  # fmt: skip
    assert fields_of(doc).kept == ["the condition on where", "since", "unless", "alive"]
    changed = drafted(form_of(doc, limit="5")).doc
    assert changed == {**doc, "when": {"threshold": {**doc["when"]["threshold"], "above": 5}}}
    parts = {"name": "x", "when": {"all_of": {"of": [{"threshold": {"event": "a"}}, {"sings": {}}]}}}
    assert fields_of(parts).kept == ["what has to come together (all_of)"]
    part = {"of": [{"becomes": {"is": ODD}}], "within": "1d"}
    assert fields_of({"name": "x", "when": {"all_of": part}}).kept == ["the condition on is of part 1"]
    assert fields_of(unless({"event": "a", "where": ODD})).kept == ["the condition on where of unless"]


@pytest.mark.parametrize(
    "body", [{}, {"event": "a", "per": "account.x"}, {"event": "a", "above": 1, "below": 9}, "a"]
)
def test_an_unless_that_fields_cannot_say_stays(body: Any) -> None:
    assert fields_of(unless(body)).kept == ["unless"]
    assert drafted(form_of(unless(body), cooldown="1d")).doc == {**unless(body), "cooldown": "1d"}


def test_few_of_the_canned_rules_need_yaml() -> None:
    assert {doc["name"] for doc in CANNED if fields_of(doc).kept} == {
        "advocate", "champion-bounced", "champion-deactivated", "true-north",
    }  # fmt: skip


def test_what_holds_a_rule_back_is_added_changed_and_taken_away() -> None:
    added = drafted(form_of(DOC, **{"unless.event": "call.held, meeting.held", "unless.within": "7d"})).doc
    body = {"event": ["call.held", "meeting.held"], "within": "7d", "at_least": 1}
    assert added == {**DOC, "unless": {"threshold": body}}
    changed = drafted(form_of(unless(body), **{"unless.limit": "2"})).doc
    assert changed == unless({**body, "at_least": 2})
    other = drafted(form_of(unless(body), **{"unless.limit_name": "above"})).doc
    assert other == unless({**{name: body[name] for name in ("event", "within")}, "above": 1})
    assert drafted(form_of(unless(body), **{"unless.event": ""})).doc == DOC


def test_since_counts_from_an_event_on() -> None:
    since = drafted(form_of(DOC, **{"since": "signed.up", "since.for": "14d"})).doc
    assert since == {**DOC, "when": {"threshold": {**WHEN, "since": {"event": "signed.up", "for": "14d"}}}}
    narrowed = {**WHEN, "since": {"event": "signed.up", "where": {"data.plan": "pro"}}}
    doc = {**DOC, "when": {"threshold": narrowed}}
    assert drafted(form_of(doc, since="invited")).doc == {
        **DOC, "when": {"threshold": {**WHEN, "since": {"event": "invited", "where": {"data.plan": "pro"}}}},
    }  # fmt: skip
    assert drafted(form_of(doc, since="")).doc == DOC
    absent = {**DOC, "when": {"absence": {"event": "login", "for": "3d", "since": {"event": "a"}}}}
    assert "since.for" not in fields_of(absent).values, "only thresholds have it"


def test_a_rule_that_rests_on_silence_names_its_source() -> None:
    doc = {**DOC, "when": {"absence": {"event": "login", "for": "3d"}}}
    found = drafted(form_of(doc, **{"alive.event": "login", "alive.within": "12h"})).doc
    assert found == {**doc, "alive": {"event": "login", "within": "12h"}}
    assert drafted(form_of({**found}, **{"alive.event": ""})).doc == doc


# -- parts of an all_of


def parts_together(*of: Any, **more: Any) -> dict[str, Any]:
    return {"name": "both", "when": {"all_of": {"of": list(of), "within": "30d", **more}}}


TICKETS = {"threshold": {"event": "ticket.opened", "at_least": 3, "within": "7d"}}
QUIET = {"absence": {"event": "login", "for": {"high": "7d", "low": "14d"}, "since": {"event": "invited"}}}


def test_each_part_has_its_own_fields() -> None:
    fields = fields_of(parts_together(TICKETS, QUIET))
    assert (fields.parts, fields.kept) == (["threshold", "absence"], [])
    changed = drafted(
        form_of(parts_together(TICKETS, QUIET), **{"all_of.0.limit": "5", "all_of.1.limit.low": "20d"})
    ).doc
    assert changed == parts_together(
        {"threshold": {**TICKETS["threshold"], "at_least": 5}},
        {"absence": {**QUIET["absence"], "for": {"high": "7d", "low": "20d"}}},
    )
    assert drafted(form_of(parts_together(TICKETS), **{"all_of.within": "9d"})).doc == parts_together(
        TICKETS, within="9d"
    )


def test_a_part_is_left_out_added_or_made_another_kind() -> None:
    both = parts_together(TICKETS, QUIET)
    assert drafted(form_of(both, **{"all_of.0.kind": ""})).doc == parts_together(QUIET)
    assert drafted(form_of(both, **{"all_of.kind": "becomes"})).doc == parts_together(
        TICKETS, QUIET, {"becomes": KINDS["becomes"].example}
    )
    assert drafted(form_of(both, **{"all_of.1.kind": "date"})).doc == parts_together(
        TICKETS, {"date": KINDS["date"].example}
    )
    assert drafted(form_of(both, **{"all_of.kind": "sings"})).doc == both


def test_a_tier_left_empty_has_the_value_for_all() -> None:
    changed = drafted(form_of(DOC, **{"limit.high": "7"})).doc
    assert changed is not None
    assert changed["when"]["threshold"]["at_least"] == {"high": 7, "low": 10, "tech": 10}


def test_another_kind_begins_with_its_example_and_keeps_the_rest() -> None:
    changed = drafted(form_of(DOC, kind="absence")).doc
    assert changed == {**DOC, "when": {"absence": KINDS["absence"].example}}


@pytest.mark.parametrize("text", ["1_000", "nan", "inf", "1e999", "x", "--1", "9" * 50])
def test_what_is_no_number_stays_text_for_the_api_to_refuse(text: str) -> None:
    changed = drafted(form_of(DOC, limit=text)).doc
    assert changed is not None
    assert changed["when"]["threshold"]["at_least"] == text


def test_errors_find_their_fields() -> None:
    for path, field in {
        "when.threshold.at_least.high": "limit.high",
        "when.threshold.at_least": "limit",
        "when.threshold.where.data.x": "when.where",
        "when.becomes.is.account.x": "when.where",
        "when.absence.for": "limit",
        "when": "kind",
        "when.threshold.since.event": "since",
        "when.threshold.since.for": "since.for",
        "when.absence.since.where.data.x": "since.where",
        "when.all_of.within": "all_of.within",
        "when.all_of.of": "kind",
        "when.all_of.of.1.absence.for.high": "all_of.1.limit.high",
        "when.all_of.of.1.absence": "all_of.1.kind",
        "when.all_of.of.0.becomes.is.x": "all_of.0.where",
        "unless": "unless.event",
        "unless.threshold": "unless.event",
        "unless.threshold.at_least": "unless.limit",
        "unless.threshold.where": "unless.where",
        "alive": "alive.event",
        "alive.within": "alive.within",
        "where.data.x": "where",
        "cooldown": "cooldown",
    }.items():
        assert field_of(path) == field
    assert errors_of([], ()) == {}
