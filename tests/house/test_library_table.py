"""The page about the canned library says what the files say."""

from __future__ import annotations

from tests.house.library_table import PAGE, page


def test_the_page_about_the_library_is_fresh() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert written == page(), "stale: python -m tests.house.library_table > docs/library.md"
