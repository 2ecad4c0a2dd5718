"""YAML files: where things stand in them, and what is refused."""

from pathlib import Path

import pytest

from services.cli.yamlfile import YamlError, read_yaml

FILE = """\
kind: rule
when:
  threshold:
    where:
      data.a: 1
      all:
        - data.b.c:
            matches: x
---
kind: template
markdown: |
  one
  two
subject: Hi
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.yaml"


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("kind", 1),
        ("when.threshold.where.data.a", 5),
        ("when.threshold.where.all.0.data.b.c.matches", 8),
        ("when.threshold.where.all.0.data.b.other", 7),
        ("when.threshold.where.all.1", 6),
        ("nowhere", 1),
        ("", 1),
    ],
)
def test_a_field_or_the_nearest_thing_around_it(path: Path, field: str, line: int) -> None:
    path.write_text(FILE)
    assert read_yaml(path)[0].line(field) == line


def test_a_line_inside_a_text(path: Path) -> None:
    path.write_text(FILE)
    template = read_yaml(path)[1]
    assert template.line("markdown") == 11
    assert [template.line_in("markdown", number) for number in (1, 2)] == [12, 13]
    assert template.line_in("subject", 1) == template.line("subject") == 14


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "a: 1\na: 2",
        "a: " + "[" * 3_000 + "]" * 3_000,
        "a: &a [*a]",
        "a: " + "1" * 5_000,
        "a: .inf",
        "a: !x 1",
    ],
)
def test_what_is_no_document(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(YamlError):
        read_yaml(path)
