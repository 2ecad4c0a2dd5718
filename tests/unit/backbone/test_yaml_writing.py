"""What is written is read as what it was."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backbone.yaml.reading import read_yaml
from backbone.yaml.writing import yaml_text

# What is a number, a truth value, a time, a sign or an end of line, by one YAML or another.
LOOKS_OTHERWISE = [
    *(
        "08",
        "1e3",
        "1.",
        "+.5",
        "0o7",
        "0x1f",
        "1_000",
        "12:30",
        ".inf",
        "on",
        "yes",
        "~",
        "",
        "null",
        "=",
        "<<",
    ),
    *(
        "2026-01-01",
        "2026-01-01T00:00:00Z",
        "- a",
        "a: b",
        "#x",
        "|",
        "%",
        "@",
        "`",
        "!x",
        "&a",
        "*a",
        "{{ x }}",
    ),
    *(" x", "x ", "\n", "a\n", "\na", " a\nb", "a \nb", "a\tb", "\r", "a\r\nb"),
    *("\x85", "\u2028", "a\u2028b", "\ufeff", "\x00", "\x07", "\x1b[31m", "a\n\x1bb", "😀"),
]
TEXTS = (
    st.sampled_from(LOOKS_OTHERWISE)
    | st.text(st.characters(codec="utf-8"))
    | st.text(" \t\nab:#-", max_size=9)
)
NUMBERS = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    TEXTS | NUMBERS | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("yaml") / "file.yaml"


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4))
@example({"where": {"account.attributes.postcode": "08001", "account.attributes.code": "1e3"}})
def test_there_and_back(path: Path, document: dict[str, Any]) -> None:
    path.write_text(yaml_text(document), encoding="utf-8")
    assert [one.value for one in read_yaml(path)] == [document]
