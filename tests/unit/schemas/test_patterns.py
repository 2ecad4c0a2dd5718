"""`matches` takes no more of a server than the length of the text, whatever the pattern."""

import pytest
from pydantic import ValidationError

from schemas.conditions.codegen import Scope
from schemas.conditions.model import Condition, compile_condition
from schemas.event import Event
from tests.unit.schemas.patterns import EXPLODING, HOSTILE_TEXT, REFUSED


def test_there_are_seventy_patterns() -> None:
    assert len(set(EXPLODING)) + len(set(REFUSED)) >= 70


@pytest.mark.timeout(60)
@pytest.mark.parametrize("pattern", EXPLODING)
def test_what_explodes_elsewhere_is_answered(pattern: str) -> None:
    holds = compile_condition({"data.x": {"matches": pattern}})
    assert holds(Scope(Event(type="t", data={"x": HOSTILE_TEXT}))) is False


def test_they_match_what_they_are_to_match() -> None:
    for pattern in EXPLODING[:30]:
        holds = compile_condition({"data.x": {"matches": pattern}})
        assert holds(Scope(Event(type="t", data={"x": "aB"}))) is True, pattern


@pytest.mark.parametrize("pattern", REFUSED)
def test_what_is_not_understood_or_too_large_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError, match="RE2"):
        Condition.model_validate({"data.x": {"matches": pattern}})
