"""docs/performance.md says what bench/results/latest.json says, and the lock of the benchmarks fits pyproject.toml."""

from __future__ import annotations

import json
import re
import tomllib

from packaging.requirements import Requirement

from bench import report
from tests.house.tree import ROOT

LATEST = report.RESULTS / "latest.json"
COLUMNS = {"path", "rules", "value", "unit", "of", "share", "goal"}


def test_the_tables_of_the_page_are_those_of_the_last_run() -> None:
    page = report.PAGE.read_text(encoding="utf-8")
    assert report.filled(page, report.load(LATEST)) == page, "run `python -m bench.report`"


def test_the_page_has_a_place_for_every_table() -> None:
    page = report.PAGE.read_text(encoding="utf-8")
    for name in ("goals", "peers", "growth"):
        assert f"<!-- {name} -->" in page
        assert f"<!-- /{name} -->" in page


def test_the_results_have_the_columns_and_paths_that_others_read() -> None:
    document = json.loads(LATEST.read_text(encoding="utf-8"))
    assert {"machine", "floor_events_per_s", "results"} <= set(document)
    for row in document["results"]:
        assert set(row) >= COLUMNS
        assert row["path"] in report.PATHS


def test_the_lock_of_the_benchmarks_fits() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = re.findall(r"^([a-z-]+)==(\S+)", (ROOT / "requirements-bench.lock").read_text(), re.MULTILINE)
    versions = dict(pinned)
    for item in map(Requirement, project["optional-dependencies"]["bench"]):
        assert item.specifier.contains(versions[item.name]), "run `make lock`"
