"""The pages about the canned library say what its files say."""

from __future__ import annotations

import re

import pytest

from tests.house.library_table import LIBRARY, PAGE, page

GUIDE = PAGE.with_name("writing-playbooks.md")


def test_the_page_about_the_library_is_fresh() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert written == page(), "stale: python -m tests.house.library_table > docs/library.md"


@pytest.mark.parametrize("kind", ["rule", "template"])
def test_the_guide_quotes_the_library_word_for_word(kind: str) -> None:
    quoted = re.findall(rf"```yaml\n(kind: {kind}\n.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    files = "".join(path.read_text(encoding="utf-8") for path in (LIBRARY / "outages").glob("*.yaml"))
    assert len(quoted) == 1
    assert quoted[0] in files
