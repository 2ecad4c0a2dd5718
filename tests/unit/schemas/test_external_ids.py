"""What other systems call an account, and phone numbers: what is taken, and how updates merge."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.account import AccountIn, AccountUpdate, ContactIn, ContactUpdate
from schemas.conditions.codegen import Scope, function_of, getter_of
from schemas.event import Event
from schemas.external_ids import MAX_IDS, valid_phone
from schemas.lint.template_names import unknown_names
from schemas.profile import Profile, apply_update
from schemas.updates import right

IDS = st.sampled_from(["cus_1", "36", "37", " 36 ", "", "x" * 257])
SAID = st.dictionaries(
    st.sampled_from(["stripe", "zendesk", ""]), IDS | st.lists(IDS, max_size=3) | st.none() | st.integers()
)


def updated(*said: Any, unvouched: bool = False) -> Profile:
    profile = Profile("acme")
    for one in said:
        event = Event(type="account.updated", account="acme", data={"external_ids": one}, unvouched=unvouched)
        apply_update(profile, event)
    return profile


def plainly(said: list[Any]) -> dict[str, Any]:
    """What is known after these updates, one rule after the other."""
    known: dict[str, Any] = {}
    for update in said:
        if update is None:
            known = {}
        for system, ids in (update or {}).items():
            if system == "" or isinstance(ids, int):
                continue
            if ids is None:
                known.pop(system, None)
            elif isinstance(ids, str):
                if ids.strip() and len(ids) <= 256:
                    known[system] = ids.strip()
            elif not ids:
                known.pop(system, None)
            else:
                good = [one.strip() for one in ids if one.strip() and len(one) <= 256]
                if good:
                    known[system] = list(dict.fromkeys(good))
    return known


@given(st.lists(SAID | st.none(), max_size=4))
def test_ids_merge_by_system_and_are_replaced_within_one(said: list[Any]) -> None:
    assert updated(*said).external_ids == plainly(said)


def test_null_deletes_and_a_public_key_says_nothing() -> None:
    both = {"stripe": "cus_1", "zendesk": ["36", "37"]}
    assert updated(both).external_ids == both
    assert updated(both, {"zendesk": None}).external_ids == {"stripe": "cus_1"}
    assert updated(both, None).external_ids == {}
    assert updated(both, unvouched=True).external_ids == {}
    gone = updated(both)
    apply_update(gone, Event(type="account.deleted", account="acme"))
    assert gone.external_ids == {}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"stripe": 7}, "stripe"),
        ({"stripe": ""}, "stripe"),
        ({"stripe": ["a", 7]}, "stripe"),
        ({"stripe": {"id": "a"}}, "stripe"),
        ({"stripe": "x" * 257}, "stripe"),
        ({"stripe": [str(one) for one in range(MAX_IDS + 1)]}, "stripe"),
        ({"x" * 65: "a"}, "x" * 65),
        ({str(one): "a" for one in range(51)}, "external_ids"),
        (["cus_1"], "external_ids"),
    ],
)
def test_what_is_no_id_is_refused_by_its_field(wrong: Any, field: str) -> None:
    for model in (AccountIn, AccountUpdate):
        with pytest.raises(ValidationError) as refused:
            model.model_validate({"external_ids": wrong})
        [error] = refused.value.errors()
        assert error["loc"][0] == "external_ids"
        assert field in error["loc"]


def test_on_the_log_a_bad_id_is_left_out_alone() -> None:
    sent = {"external_ids": {"stripe": "", "zendesk": ["36", " "], "crm": " 7 "}, "name": "Acme"}
    data, wrong = right("account.updated", sent)
    assert data == {"external_ids": {"zendesk": ["36"], "crm": "7"}, "name": "Acme"}
    assert [one.path for one in wrong] == ["external_ids.stripe", "external_ids.zendesk.1"]


@pytest.mark.parametrize("sent", ["+4930123456", " +49 30 123456", "+49 (30) 123-456", "+49.30/123456"])
def test_a_phone_number_is_kept_in_e164(sent: str) -> None:
    assert ContactIn.model_validate({"id": "ann", "phone": sent}).phone == "+4930123456"
    assert right("contact.updated", {"phone": sent})[0] == {"phone": "+4930123456"}


@pytest.mark.parametrize(
    "bad", ["030123456", "+0301234567", "+49", "++4930123456", "+49301234567890123", "+49x"]
)
def test_what_is_no_phone_number_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="country's code"):
        valid_phone(bad)
    with pytest.raises(ValidationError, match="country's code"):
        ContactUpdate.model_validate({"phone": bad})
    data, [wrong] = right("account.updated", {"contacts": [{"id": "ann", "phone": bad}]})
    assert (data, wrong.path) == ({"contacts": [{"id": "ann"}]}, "contacts.0.phone")


def test_conditions_and_templates_read_them() -> None:
    profile = updated({"hubspot": "7", "zendesk": ["36", "37"]})
    scope = Scope(profile=profile)
    assert getter_of("account.external_ids.hubspot")(scope) == "7"
    assert function_of({"account.external_ids.zendesk": {"contains": "37"}})(scope)
    assert not function_of({"account.external_ids.zendesk": {"contains": "3"}})(scope)
    assert not function_of({"account.external_ids.stripe": {"exists": True}})(scope)
    assert (
        list(unknown_names("{{ account.external_ids.hubspot }} {{ account.domains }} {{ contact.phone }}"))
        == []
    )
