"""Writing a rule: form and YAML are one document, what was edited last counts, and nothing is lost on the way."""

from typing import Any

import pytest
from starlette.datastructures import FormData

from backbone.yaml.writing import yaml_text
from schemas.when import KINDS
from services.console.pages.rule_edit import BOTH, beginning, drafted
from tests.unit.console.test_rule_form import DOC, QUIET, TICKETS, form_of, parts_together
from tests.unit.console.test_rules import HOSTILE, READER, RULE
from tests.unit.console.world import World, page_of, refusal


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


def test_a_rule_can_be_backtested_before_there_is_one() -> None:
    made = world({"POST /v1/backtests": (202, {"id": "bac_9"})})
    answer = made.post("/rules/-/new", do="backtest", **dict(form_of(DOC).multi_items()))
    assert made.sent == [("POST", "/v1/backtests", {"rule": DOC})]
    assert answer.headers["location"] == "/rules/-/backtests/bac_9"
    made.answers["POST /v1/backtests"] = refusal(422, "invalid", ("rule.name", "should match a pattern"))
    page = made.post("/rules/-/new", do="backtest", **dict(form_of(DOC).multi_items()))
    assert 'id="e-name">should match a pattern' in page.text


def test_a_reader_may_check_but_not_save() -> None:
    page = world(me=READER).get("/rules/spike/edit").text
    assert 'value="check"' in page
    assert 'value="save"' not in page


def test_the_form_follows_when_other_fields_are_to_be_shown() -> None:
    form = dict(form_of(parts_together(TICKETS), edited="form").multi_items())
    kinds = {"all_of.0.shown_kind": "threshold", "all_of.0.kind": "threshold"}
    for changed, follows in (({}, False), ({"all_of.0.kind": "date"}, True), ({"all_of.kind": "date"}, True)):
        piece = world().post("/rules/check", rule="both", **{**form, **kinds, **changed}).text
        assert ('id="form-side"' in piece) == follows
    page = (
        world({"GET /v1/rules/both": {**RULE, **parts_together(TICKETS, QUIET)}}).get("/rules/both/edit").text
    )
    assert page.count('class="part"') == 2
    assert 'name="all_of.1.since"' in page


def test_the_source_is_asked_for_where_a_rule_may_rest_on_silence() -> None:
    assert 'name="alive.event"' in world().get("/rules/-/new?kind=absence").text
    assert 'name="alive.event"' not in world().get("/rules/-/new?kind=date").text
