"""What rules and playbooks say in words: golden sentences to be read aloud, and nothing of a rule is left unsaid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.playbook import KINDS as STEPS
from schemas.playbook import PlaybookIn
from schemas.rule import RuleIn
from schemas.sentences import of_playbooks, of_rules
from schemas.sentences.conditions import OPERATORS, in_words
from schemas.when import KINDS
from tests.oracle import rule_strategies as rules

GOLDEN = yaml.safe_load((Path(__file__).parent / "document_sentences.yaml").read_text(encoding="utf-8"))
LIBRARY = Path(__file__).parents[3] / "playbooks"
EVERY_RULE = st.one_of(
    rules.anything(), rules.crowd(), rules.held_back(), rules.contact_dates(), rules.joint(), rules.from_then_on(),
    rules.moments(), rules.guarded(split=True), rules.guarded(split=False),
    rules.rule(rules.large(), split=True).map(lambda one: [one]),
)  # fmt: skip
UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}
SPANS = ("within", "for", "over", "baseline", "before", "after", "late")
PATHS = ("of", "per", "by", "attribute")
NOT_SAID = (
    "name",
    "status",
    "backfill",
    "scope",
    "aggregate",
    "fire",
    "repeat",
)  # words, or told another way
JSON = dict[str, Any]


def said_of(golden: JSON) -> str:
    if "rule" in golden:
        return of_rules.sentence(RuleIn.model_validate({"name": "r", **golden["rule"]}))
    return of_playbooks.sentence(PlaybookIn.model_validate({"name": "p", **golden["playbook"]}))


@pytest.mark.parametrize("golden", GOLDEN, ids=range(len(GOLDEN)))
def test_a_document_reads_as_it_is_written_down(golden: JSON) -> None:
    assert said_of(golden) == golden["says"]


def test_the_golden_sentences_are_of_every_kind_step_and_operator() -> None:
    text = str(GOLDEN)
    assert len(GOLDEN) >= 60
    for word in (
        *KINDS,
        *STEPS,
        *OPERATORS,
        "all_of",
        "any",
        "not",
        "high",
        "low",
        "tech",
        "unless",
        "alive",
    ):
        assert f"'{word}'" in text, word


# -- nothing is left unsaid


def tokens(part: Any, name: str = "") -> Iterator[str]:
    """What must stand in the sentence of a document, in an order of no matter."""
    if isinstance(part, dict):
        for key, inner in part.items():
            if "." in key or key in ("type", "source"):
                yield key
            if key not in NOT_SAID:
                yield from tokens(inner, name if key in ("high", "low", "tech") else key)
            if key in ("high", "low", "tech"):
                yield f"for the {key} tier"
    elif isinstance(part, list):
        for inner in part:
            yield from tokens(inner, name)
    elif isinstance(part, bool) or part is None or part == "*":
        return
    elif isinstance(part, int | float):
        yield in_full(part)
    elif name == "cooldown":
        yield {"0s": "no cooldown", "once": "once"}.get(part) or span(part)
    else:
        yield span(part) if name in SPANS else part


def in_full(value: float) -> str:
    whole, _, rest = f"{value:.10f}".partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    grouped = re.sub(r"(?<=\d)(?=(\d{3})+$)", ",", digits)
    return f"{sign}{grouped}.{rest.rstrip('0')}".rstrip(".")


def span(text: str) -> str:
    number, unit = re.fullmatch(r"(\d+)(\w+)", text).groups()  # type: ignore[union-attr]
    return f"{number} {UNITS[unit]}{'' if number == '1' else 's'}"


def stands_in(token: str, sentence: str) -> bool:
    return re.search(rf"(?<![\w.,-]){re.escape(token)}(?![\w%-]*\w)(?![.,]\d)", sentence) is not None


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(EVERY_RULE)
def test_each_number_duration_type_and_path_of_a_rule_is_said(made: list[JSON]) -> None:
    for rule in made:
        sentence = of_rules.sentence(RuleIn.model_validate(rule))
        assert [token for token in tokens(rule) if not stands_in(token, sentence)] == [], sentence
        assert sentence.endswith(".")
        assert not any(odd in sentence for odd in ("None", "{", "}", "  ", "..", " ,", "( "))


@pytest.mark.parametrize("folder", sorted(one.name for one in LIBRARY.iterdir() if one.is_dir()))
def test_the_library_can_be_read(folder: str) -> None:
    for path in (LIBRARY / folder).glob("*.yaml"):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            kind = document.get("kind") if isinstance(document, dict) else None
            if kind in ("rule", "playbook"):
                said = said_of({kind: {key: one for key, one in document.items() if key != "kind"}})
                assert "{" not in said
                assert "None" not in said


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ({"data.x": "5"}, 'data.x is "5"'),
        ({"data.x": 5}, "data.x is 5"),
        ({"data.x": "true"}, 'data.x is "true"'),
        ({"data.x": True}, "data.x is true"),
        ({"data.x": "in the red"}, 'data.x is "in the red"'),
        ({"data.x": ""}, 'data.x is ""'),
        ({"data.x": {"in": [str(n) for n in range(25)]}}, None),
    ],
)
def test_values_are_told_apart(condition: JSON, said: str | None) -> None:
    found = in_words(condition)
    assert found == said if said is not None else found.endswith('"19" or 5 others')
