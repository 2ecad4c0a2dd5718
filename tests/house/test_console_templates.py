"""The console's templates need no exception from its content security policy, and trust no text of others."""

import re

import pytest

from tests.house.tree import ROOT

TEMPLATES = sorted((ROOT / "services" / "console" / "templates").rglob("*.html"))
FORBIDDEN = {
    "style attributes": r"\sstyle\s*=",
    "inline handlers": r"\son[a-z]+\s*=",
    "inline scripts and styles": r"<script(?![^>]*\bsrc=)|<style",
    "addresses elsewhere": r"""(?:src|href|action)\s*=\s*["']?(?:https?:)?//""",
    "htmx that evaluates": r"hx-on|hx-vals\s*=\s*[\"']?js:|hx-trigger=[\"'][^\"']*\[",
    "text that is not escaped": r"autoescape\s+false|\|\s*safe\b",
}
OWN_SHAPES = "{{ shapes[name] | safe }}"  # the icons, which stand in the same file


@pytest.mark.parametrize("name", FORBIDDEN)
def test_no_template_has(name: str) -> None:
    assert TEMPLATES
    found = [
        f"{path.name}: {match.group().strip()}"
        for path in TEMPLATES
        for match in re.finditer(FORBIDDEN[name], path.read_text(encoding="utf-8").replace(OWN_SHAPES, ""))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("style attributes", '<p style="color: red">'),
        ("inline handlers", '<a onclick="x()">'),
        ("inline scripts and styles", "<script>x()</script>"),
        ("addresses elsewhere", '<img src="https://elsewhere.test/x">'),
        ("addresses elsewhere", "<img src=//elsewhere.test/x>"),
        ("htmx that evaluates", '<p hx-on:click="x()">'),
        ("htmx that evaluates", '<p hx-trigger="keyup[key==1]">'),
        ("text that is not escaped", "{{ name | safe }}"),
    ],
)
def test_the_check_itself_sees_it(name: str, source: str) -> None:
    assert re.search(FORBIDDEN[name], source)
