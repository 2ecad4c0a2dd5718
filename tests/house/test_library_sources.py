"""Every source of the library has all that it takes, and nothing else: a document, its test and a page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.house.library_table import SOURCES, documents, source_files

VARIABLE = re.compile(r"\$\{[A-Z][A-Z0-9_]*\}")
STEP = re.compile(r"^[0-9]+\. ", re.MULTILINE)
VENDORS = {
    "stripe", "zuora", "chargebee", "salesforce", "hubspot", "zendesk", "intercom", "mixpanel", "google-analytics",
    "gainsight-px", "pagerduty", "statuspage", "delighted", "typeform", "calendly",
}  # fmt: skip
FOLDERS = sorted(path for path in SOURCES.iterdir() if path.is_dir())


def _source(folder: Path) -> dict[str, Any]:
    [source] = documents(folder / f"{folder.name}.yaml")
    return source


def _secrets(source: dict[str, Any]) -> list[str]:
    verify = source["verify"]
    return [verify[name] for name in ("secret", "password") if name in verify]


def test_each_folder_holds_a_document_its_test_and_a_page() -> None:
    """And no code."""
    assert {folder.name for folder in FOLDERS} >= VENDORS
    found = {folder.name: sorted(path.name for path in folder.iterdir()) for folder in FOLDERS}
    assert found == {name: sorted([f"{name}.yaml", f"{name}.test.yaml", "README.md"]) for name in found}
    assert [path.stem for path in source_files()] == list(found)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_none_is_open_and_none_brings_a_secret(folder: Path) -> None:
    source = _source(folder)
    assert (source["kind"], source["name"]) == ("source", folder.name)
    assert source["verify"]["scheme"] != "none"
    secrets = _secrets(source)
    assert secrets
    assert all(VARIABLE.fullmatch(secret) for secret in secrets)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_page_says_what_to_do_and_what_comes_of_it(folder: Path) -> None:
    page, source = (folder / "README.md").read_text(encoding="utf-8"), _source(folder)
    types = {event["type"] for event in source["events"]}
    assert sorted(one for one in types if f"`{one}`" not in page) == []
    assert [secret for secret in _secrets(source) if f"`{secret[2:-1]}`" not in page] == []
    assert f"/v1/hooks/{folder.name}" in page
    assert len(STEP.findall(page)) >= 2, "no numbered steps"
    assert re.search(r"\]\(https://", page), "does not say where the vendor's documentation is"
