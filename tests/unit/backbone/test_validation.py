from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from backbone.errors import Invalid
from backbone.web.validation import validate


def _duration(text: str) -> str:
    if not text.endswith("d"):
        raise ValueError("should be a duration, such as 30d")
    return text


Duration = Annotated[str, AfterValidator(_duration)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Tiers(Strict):
    high: int | None = None
    low: int | None = None


class Threshold(Strict):
    event: str | list[str]
    within: Duration | None = None
    at_least: int | Tiers


class When(Strict):
    threshold: Threshold | None = None


class Email(Strict):
    template: str


class Wait(Strict):
    wait: str


class EmailStep(Strict):
    email: Email


class Body(Strict):
    name: str = Field(min_length=1)
    when: When
    status: Literal["draft", "active"] = "draft"
    steps: dict[str, list[EmailStep | Wait]] = {}


GOOD: dict[str, Any] = {"name": "x", "when": {"threshold": {"event": "a", "at_least": 3}}}


def errors(data: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        validate(Body, data)
    return {error["field"]: error["message"] for error in caught.value.errors}


class Note(Strict):
    text: Annotated[str, AfterValidator(str.strip)] | None = Field(None, min_length=2, max_length=4)
    lines: Annotated[list[str], AfterValidator(list)] | None = Field(None, max_length=1)


def test_texts_have_characters_and_lists_have_items() -> None:
    for text, said in (
        ("x", "should have at least 2 characters"),
        ("xxxxx", "should have at most 4 characters"),
    ):
        with pytest.raises(Invalid) as caught:
            validate(Note, {"text": text})
        assert [error["message"] for error in caught.value.errors] == [said]
    with pytest.raises(Invalid, match="at most 1 item"):
        validate(Note, {"lines": ["a", "b"]})


def test_good() -> None:
    assert validate(Body, GOOD).name == "x"


def test_every_wrong_field_with_its_path() -> None:
    found = errors(
        {"when": {"threshold": {"event": "a", "within": "30", "at_least": 1}}, "status": "on", "nam": 1}
    )
    assert found == {
        "name": "is required",
        "when.threshold.within": "should be a duration, such as 30d",
        "status": "should be 'draft' or 'active'",
        "nam": "is not a known field; did you mean name?",
    }


def test_unions_say_what_they_take() -> None:
    found = errors({**GOOD, "when": {"threshold": {"event": 1, "at_least": "x"}}})
    assert found == {
        "when.threshold.event": "should be a valid string, or a list",
        "when.threshold.at_least": "should be a valid integer, or an object",
    }


def test_the_member_that_fits_best_is_reported() -> None:
    found = errors({**GOOD, "when": {"threshold": {"event": "a", "at_least": {"hihg": 1}}}})
    assert found == {"when.threshold.at_least.hihg": "is not a known field; did you mean high?"}
    found = errors({**GOOD, "steps": {"high": [{"wait": "1d"}, {"email": {"templat": "x"}}]}})
    assert "steps.high.1.email.templat" in found
    assert "steps.high.1.email.template" in found
    assert not any("Wait" in field or "EmailStep" in field for field in found)


def test_unknown_fields_say_what_is_allowed() -> None:
    found = errors({**GOOD, "when": {"zzz": 1}})
    assert found == {"when.zzz": "is not a known field; allowed: threshold"}


@pytest.mark.parametrize("data", [None, 1, [], "x"])
def test_not_an_object(data: Any) -> None:
    assert list(errors(data)) == [""]


def test_many_errors_are_cut() -> None:
    with pytest.raises(Invalid) as caught:
        validate(Body, {**GOOD, **{f"x{n}": 1 for n in range(1_000)}})
    assert len(caught.value.errors) == 100
    assert "more)" in caught.value.message


def test_of_very_many_errors_the_first_are_told() -> None:
    found = errors(GOOD | {f"field{number}": 1 for number in range(50_000)})
    assert len(found) == 100
    assert found["field0"].startswith("is not a known field")
