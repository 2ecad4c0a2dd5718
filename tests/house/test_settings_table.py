"""The page about settings is made from the settings."""

from tests.house.settings_table import table
from tests.house.tree import ROOT


def test_settings_page_is_fresh() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == table(), "run: .venv/bin/python -m tests.house.settings_table > docs/settings.md"
