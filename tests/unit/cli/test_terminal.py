"""Nothing that comes from elsewhere steers the terminal."""

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from backbone.terminal_text import clean, one_line
from services.cli.terminal import Terminal, agreed

HOSTILE = st.text() | st.text(alphabet="\x00\x07\x08\x1b\x7f\x85\x9b\u200f\u2028\u202e\u2066\r\n\tab[]31m")


def steering(text: str) -> set[str]:
    """The characters of a text that are no text, by Unicode's own tables."""
    formats = {one for one in text if unicodedata.category(one) in {"Cc", "Zl", "Zp", "Cs"}}
    turns = {one for one in text if unicodedata.bidirectional(one) in {"LRE", "RLE", "PDF", "LRO", "RLO"}}
    return (formats | turns) - {"\n", "\t"}


@given(HOSTILE)
def test_whatever_is_printed_is_shown(text: str) -> None:
    assert steering(clean(text)) == set()
    assert not set("\n\t") & set(one_line(text))
    table = Table("name", "scopes")
    table.add_row(Text(text), "admin")
    for printed in (Text(text), table):
        file = io.StringIO()
        Terminal(file=file, width=200, markup=False, highlight=False, color_system=None).print(printed)
        assert steering(file.getvalue()) == set()


def test_its_own_colours_stay() -> None:
    file = io.StringIO()
    Terminal(file=file, force_terminal=True, color_system="standard").print(Text("\x1b[2Jname", "red"))
    assert file.getvalue() == "\x1b[31m\\x1b[2Jname\x1b[0m\n"


def test_what_is_plain_stays_as_it_is() -> None:
    assert clean("Zoë → 東京\n\t😀") == "Zoë → 東京\n\t😀"


@pytest.mark.parametrize(
    ("steps", "yes", "wanted"), [([], False, True), (["x"], True, True), (["x"], False, False)]
)
def test_without_a_terminal_only_a_given_yes_counts(
    monkeypatch: pytest.MonkeyPatch, steps: list[str], yes: bool, wanted: bool
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert agreed(steps, yes=yes) is wanted


@pytest.mark.parametrize(
    ("said", "wanted"), [("y\n", True), ("Yes\n", True), ("\n", False), ("n\n", False), ("", False)]
)
def test_on_a_terminal_it_asks(monkeypatch: pytest.MonkeyPatch, said: str, wanted: bool) -> None:
    answers = io.StringIO(said)
    monkeypatch.setattr(answers, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", answers)
    assert agreed(["rule a: paused → active"], yes=False) is wanted
