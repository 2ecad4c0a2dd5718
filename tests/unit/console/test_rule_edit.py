"""Writing a rule: form and YAML are one document, what was edited last counts, and nothing is lost on the way."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import FormData

from backbone.yaml.reading import read_yaml
from backbone.yaml.writing import yaml_text
from schemas.when import KINDS
from services.console.conditions_form import Row, condition_of, rows_of
from services.console.pages.rule_edit import BOTH, beginning, drafted, errors_of
from services.console.rule_form import as_form, blank, document_of, field_of, fields_of
from tests.house.tree import ROOT
from tests.unit.console.test_rules import HOSTILE, READER, RULE
from tests.unit.console.world import World, page_of, refusal

DOC: dict[str, Any] = {"name": "spike", "when": RULE["when"], "playbook": "call"}
CANNED = [
    {name: value for name, value in one.value.items() if name != "kind"}
    for path in sorted((ROOT / "playbooks").rglob("*.yaml"))
    for one in read_yaml(path)
    if isinstance(one.value, dict) and one.value.get("kind") == "rule"
]


def form_of(doc: dict[str, Any], **changed: str) -> FormData:
    """What a browser sends after somebody changed these fields."""
    text = yaml_text(doc)
    pairs = dict(as_form(fields_of(doc)).multi_items())
    sent = [(name, value) for name, value in as_form(fields_of(doc)).multi_items() if name not in changed]
    assert changed.keys() <= {*pairs, "edited", "yaml", "limit.high", "kind", "repeat"}
    return FormData([*sent, *{"yaml": text, "yaml_was": text, **changed}.items()])


def world(more: dict[str, Any] | None = None, **kwargs: Any) -> World:
    return World(
        {
            "GET /v1/rules": page_of([]),
            "GET /v1/rules/spike": RULE,
            "POST /v1/rules/check": {"warnings": []},
            **(more or {}),
        },
        **kwargs,
    )


# -- one document


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


anything: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
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
documents = st.fixed_dictionaries(
    {"name": anything},
    optional={
        "when": anything | st.dictionaries(
            st.sampled_from([*KINDS, "all_of", "other"]),
            anything | st.dictionaries(st.sampled_from(KEYS), anything),
            max_size=2,
        ),
        "where": anything | st.dictionaries(st.text(max_size=6), anything, max_size=3),
        "unless": anything,
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
        "when": {"threshold": {"event": "a", "where": {"any": [{"data.a": 1}]}, "since": {"event": "b"}, "above": 1}},
        "unless": {"threshold": {}},
    }  # fmt: skip
    assert fields_of(doc).kept == ["the condition on where", "since", "unless"]
    assert fields_of(blank("all_of")).kept == ["what has to come together (all_of)"]
    changed = drafted(form_of(doc, limit="5")).doc
    assert changed == {**doc, "when": {"threshold": {**doc["when"]["threshold"], "above": 5}}}


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


# -- conditions


scalars = st.booleans() | st.integers(-(10**15), 10**15) | st.floats(-1e9, 1e9) | st.text(max_size=8)
operands = scalars | st.fixed_dictionaries(
    {},
    optional={"gte": scalars, "ne": scalars, "in": st.lists(scalars, min_size=1), "exists": st.booleans()},
).filter(bool)  # fmt: skip


@given(st.dictionaries(st.text("abc.", min_size=1, max_size=5), operands, min_size=1, max_size=4))
def test_rows_say_what_the_condition_says_or_are_none(condition: dict[str, Any]) -> None:
    rows = rows_of(condition)
    if rows is not None:
        found, problems = condition_of(rows, "where")
        assert problems == []
        assert repr(found) == repr(condition)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("high", "high"),
        (10, "10"),
        ("10", '"10"'),
        (True, "true"),
        ("true", '"true"'),
        (" a", '" a"'),
        ("", '""'),
    ],
)
def test_texts_that_look_like_something_else_are_quoted(value: Any, text: str) -> None:
    assert rows_of({"data.x": value}) == [Row("data.x", "eq", text)]


def test_lists_hold_commas() -> None:
    rows = rows_of({"data.x": {"in": ["a,b", "c", 1]}})
    assert rows == [Row("data.x", "in", '"a,b", c, 1')]


@pytest.mark.parametrize(
    "condition",
    [{"any": [{"data.a": 1}]}, {"data.a": {"eq": [1]}}, [1], {"data.a": {"like": 1}}, {"a": "x\ny"}],
)
def test_what_rows_cannot_say_is_yaml(condition: Any) -> None:
    assert rows_of(condition) is None


def test_rows_that_say_nothing_or_twice_are_told_so() -> None:
    assert condition_of([Row(), Row(" ", "eq", " ")], "where") == (None, [])
    for rows in ([Row("", "eq", "x")], [Row("a", "eq", "1"), Row("a", "eq", "2")], [Row("any", "eq", "1")]):
        assert len(condition_of(rows, "where")[1]) == 1


# -- what was edited last


def test_without_a_change_the_yaml_stays_as_it_was_written() -> None:
    text = "# why\n" + yaml_text(DOC)
    found = drafted(FormData([*form_of(DOC).multi_items(), ("yaml", text), ("yaml_was", text)]))
    assert (found.doc, found.yaml) == (DOC, text)


def test_the_side_that_was_changed_counts() -> None:
    assert drafted(form_of(DOC, playbook="other")).doc == {**DOC, "playbook": "other"}
    other = yaml_text({**DOC, "playbook": "yaml"})
    assert drafted(form_of(DOC, yaml=other)).doc == {**DOC, "playbook": "yaml"}


def test_if_both_were_changed_the_yaml_counts_and_that_is_said() -> None:
    found = drafted(form_of(DOC, playbook="form", yaml=yaml_text({**DOC, "playbook": "yaml"})))
    assert found.doc == {**DOC, "playbook": "yaml"}
    assert found.note == BOTH


@pytest.mark.parametrize("edited", ["form", "yaml"])
def test_with_script_the_last_one_counts(edited: str) -> None:
    form = form_of(DOC, playbook="form", yaml=yaml_text({**DOC, "playbook": "yaml"}), edited=edited)
    found = drafted(form)
    assert found.doc == {**DOC, "playbook": edited}
    assert found.note == ""
    assert found.yaml.strip() == found.yaml_was.strip() == yaml_text({**DOC, "playbook": edited}).strip()


@pytest.mark.parametrize("text", ["a: [", "- a", "text", "a: 1\n---\nb: 2", "a: &x [*x]", "a: !!python/x 1"])
def test_yaml_that_is_no_rule_is_kept_and_told_so(text: str) -> None:
    found = drafted(form_of(DOC, yaml=text))
    assert found.doc is None
    assert found.yaml == text
    assert found.problems[0].field == "yaml"
    assert found.shown == DOC, "the form shows what could be read last"


def test_a_file_of_apply_may_be_pasted() -> None:
    assert drafted(form_of(DOC, yaml="kind: rule\n" + yaml_text(DOC))).doc == DOC
    assert beginning(DOC).yaml_was == yaml_text(DOC)


# -- pages


def test_a_blank_of_each_kind() -> None:
    for kind in [*KINDS, "all_of", "nonsense"]:
        page = world().get(f"/rules/-/new?kind={kind}")
        assert page.status_code == 200
        assert "status: draft" in page.text
        assert "Fires for an account" in page.text


def test_editing_shows_the_rule_and_its_warnings() -> None:
    warning = {"field": "cooldown", "message": HOSTILE}
    made = world({"POST /v1/rules/check": {"warnings": [warning]}})
    page = made.get("/rules/spike/edit").text
    assert made.sent == [("POST", "/v1/rules/check", DOC)]
    assert "playbook: call" in page
    assert "Probably a mistake." in page
    assert "<script>alert" not in page
    assert 'name="status"><option value="" selected>' in page.replace('id="f-status" ', "")


def test_checking_saves_nothing_and_keeps_what_was_typed() -> None:
    wrong = refusal(422, "invalid", ("when.threshold.at_least.high", "should be a number"))
    made = world({"POST /v1/rules/check": wrong})
    form = dict(form_of(DOC, **{"limit.high": "x"}).multi_items())
    page = made.post("/rules/spike/edit", do="check", **form)
    assert page.status_code == 200
    assert [path for _, path, _ in made.sent] == ["/v1/rules/check"]
    assert 'id="e-limit.high">should be a number' in page.text
    assert 'value="x" id="f-limit.high"' in page.text


def test_the_piece_brings_the_other_side() -> None:
    made = world()
    form = dict(form_of(DOC, playbook="other", edited="form").multi_items())
    piece = made.post("/rules/check", rule="spike", **form).text
    assert 'id="yaml-side"' in piece
    assert 'id="form-side"' not in piece, "the form is being typed into"
    assert "playbook: other" in piece
    form = dict(form_of(DOC, yaml=yaml_text({**DOC, "playbook": "yaml"}), edited="yaml").multi_items())
    piece = made.post("/rules/check", rule="spike", **form).text
    assert 'id="form-side"' in piece
    assert 'id="yaml-side"' not in piece
    assert 'id="yaml-was"' in piece
    assert "<html" not in piece


def test_saving_is_one_call_with_the_tag_that_was_seen() -> None:
    made = world(
        {"PUT /v1/rules/spike": {**RULE, "version": 4, "warnings": [{"field": "x", "message": "odd"}]}}
    )
    form = dict(form_of(DOC, playbook="other").multi_items())
    answer = made.post("/rules/spike/edit", do="save", etag='"3"', **form)
    assert answer.headers["location"] == "/rules/spike"
    assert made.sent == [("PUT", "/v1/rules/spike", {**DOC, "playbook": "other"})]
    assert made.asked[-1].headers["if-match"] == '"3"'
    assert "odd" in made.get("/rules/spike").text
    made.post("/rules/spike/edit", do="apart", etag='"3"', **form)
    assert made.asked[-1].url.params["publish"] == "false"


def test_a_new_rule_is_made_once() -> None:
    made = world({"POST /v1/rules": (201, {**RULE, "status": "draft", "version": 1})})
    answer = made.post("/rules/-/new", do="save", once="abc", **dict(form_of(DOC).multi_items()))
    assert answer.headers["location"] == "/rules/spike"
    assert made.sent == [("POST", "/v1/rules", DOC)]
    assert made.asked[-1].headers["idempotency-key"].rpartition("-")[0] == "abc"


def test_what_is_refused_stands_at_its_field_and_is_kept() -> None:
    made = world({"PUT /v1/rules/spike": refusal(422, "invalid", ("cooldown", "should be a duration"))})
    page = made.post("/rules/spike/edit", do="save", **dict(form_of(DOC, cooldown="soon").multi_items()))
    assert page.status_code == 422
    assert 'id="e-cooldown">should be a duration' in page.text
    assert 'value="soon" id="f-cooldown"' in page.text
    broken = made.post("/rules/spike/edit", do="save", **dict(form_of(DOC, yaml="a: [").multi_items()))
    assert broken.status_code == 422
    assert 'id="e-yaml"' in broken.text
    assert len(made.sent) == 1, "what cannot be read is not sent"


def test_what_somebody_else_saved_meanwhile_is_not_overwritten() -> None:
    now = {**RULE, "version": 4, "changed_by": "sam"}
    made = world({"PUT /v1/rules/spike": refusal(412, "changed"), "GET /v1/rules/spike": now})
    page = made.post(
        "/rules/spike/edit", do="save", etag='"3"', **dict(form_of(DOC, cooldown="1d").multi_items())
    )
    assert page.status_code == 412
    assert "sam changed this rule meanwhile: it is at version 4 now" in page.text
    assert "cooldown: 1d" in page.text


def test_both_changed_is_shown_before_it_is_saved() -> None:
    made = world()
    form = dict(form_of(DOC, playbook="form", yaml=yaml_text({**DOC, "playbook": "yaml"})).multi_items())
    page = made.post("/rules/spike/edit", do="save", **form)
    assert "The YAML counts" in page.text
    assert [path for _, path, _ in made.sent] == ["/v1/rules/check"]


def test_a_rule_can_be_backtested_before_it_is_saved() -> None:
    made = world({"POST /v1/backtests": (202, {"id": "bac_9"})})
    answer = made.post("/rules/spike/edit", do="backtest", **dict(form_of(DOC, cooldown="1d").multi_items()))
    assert made.sent == [("POST", "/v1/backtests", {"rule": {**DOC, "cooldown": "1d"}})]
    assert answer.headers["location"] == "/rules/spike/backtests/bac_9"


def test_a_reader_may_check_but_not_save() -> None:
    page = world(me=READER).get("/rules/spike/edit").text
    assert 'value="check"' in page
    assert 'value="save"' not in page


def test_errors_find_their_fields() -> None:
    for path, field in {
        "when.threshold.at_least.high": "limit.high",
        "when.threshold.at_least": "limit",
        "when.threshold.where.data.x": "when.where",
        "when.becomes.is.account.x": "when.where",
        "when.absence.for": "limit",
        "when": "kind",
        "where.data.x": "where",
        "cooldown": "cooldown",
    }.items():
        assert field_of(path) == field
    assert errors_of([]) == {}
