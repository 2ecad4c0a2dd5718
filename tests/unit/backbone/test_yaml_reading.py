"""YAML files: where things stand in them, and what is refused."""

import subprocess
import sys
from pathlib import Path

import pytest

from backbone.yaml.reading import DEEPEST, MOST_BYTES, MOST_VALUES, YamlError, read_yaml

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


ANCHORS = "kind: rule\na: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefg", "bcdefgh", strict=True)
)
CHAIN = "- &a0 [x]\n" + "".join(f"- &a{n} {'[' * 50}*a{n - 1}{']' * 50}\n" for n in range(1, 100))
HOSTILE = {
    "anchors inside anchors": (ANCHORS, 7, "values"),
    "brackets": ("kind: rule\nx: " + "[" * 100_000, 2, "deep"),
    "braces": ("kind: rule\nx: " + "{" * 100_000, 2, "deep"),
    "dashes": ("kind: rule\nx:\n  " + "- " * 50_000, 3, "deep"),
    "deep through aliases": (CHAIN, 3, "deep"),
    "holds itself": ("a: 1\nb: &b\n  c: [*b]\n", 3, "*b stands inside"),
    "many small ones": ("kind: rule\nx: [" + "[]," * 1_390_000 + "]", 2, "values"),
    "many documents": ("---\n" * 1_000_000, 100_002, "values"),
    "many fields": ("kind: rule\n" + "".join(f"f{n}: 1\n" for n in range(60_000)), 50_000, "values"),
    "too large": ("#" * (MOST_BYTES + 1), 1, "larger than 4 MiB"),
    "a long number": ("a: 1\nb: " + "9" * 4_000_000 + ".0", 2, "is no JSON number"),
    "a control character": ("a: 1\n# ä😀\nb: \x1b[31m", 3, "U+001B"),
    "not UTF-8": (b"a: 1\nb: \xff\xfe", 2, "is not UTF-8"),
}
READ = """
import resource, sys
from pathlib import Path
from backbone.yaml.reading import YamlError, read_yaml
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_yaml(Path(sys.argv[1]))
except YamlError as error:
    print(error.line, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error.message)
"""


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_is_one_short_line_and_little_memory(path: Path, what: str) -> None:
    content, line, said = HOSTILE[what]
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    done = subprocess.run(
        [sys.executable, "-c", READ, path], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]
    told, kibibytes, message = done.stdout.rstrip("\n").split(" ", 2)
    assert (int(told), said in message) == (line, True), message
    assert len(message) < 200
    assert "\n" not in message
    assert int(kibibytes) < 64 * 1_024


def test_what_is_large_and_honest_is_read(path: Path) -> None:
    inner = DEEPEST // 2
    path.write_text(
        f"a: &a {'[' * (inner - 1)}x{']' * (inner - 1)}\nb: {'[' * inner}*a{']' * inner}\n"
        f"c: [{'z, ' * (MOST_VALUES - 3 * DEEPEST)}]\n"
    )
    (found,) = read_yaml(path)
    assert found.line(("b", *[0] * (inner - 1))) == 2
    assert found.line(("b", *[0] * inner)) == 1, "what an alias stands for is where its anchor is"
    assert len(found.value["c"]) == MOST_VALUES - 3 * DEEPEST


def test_a_mark_of_byte_order_is_passed_over(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbfkind: rule\n")
    assert read_yaml(path)[0].value == {"kind": "rule"}


def test_a_key_of_many_dots_is_looked_for_in_no_time(path: Path) -> None:
    name = "a." * 200_000 + "a"
    path.write_text(f'kind: rule\nwhere:\n  ? "{name}"\n  : 1\n')
    assert read_yaml(path)[0].line(f"where.{name}") == 2
