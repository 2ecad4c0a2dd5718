"""Every test of a source of the library passes and is sharp: what is missing in the source does not go unnoticed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from backbone.yaml.reading import Located, read_yaml
from services.cli.comparing import Difference
from services.cli.source_scenario import run_sources
from tests.unit.library.files import documents

SOURCES = Path(__file__).resolve().parents[3] / "sources"
FOLDERS = sorted(path for path in SOURCES.iterdir() if path.is_dir())
JSON = dict[str, Any]


@cache
def _tests(folder: Path) -> list[Located]:
    return read_yaml(folder / f"{folder.name}.test.yaml")


def _run(folder: Path, place: Path) -> list[Difference]:
    """What the tests of a source find, where the source lies in `place`."""
    return run_sources([replace(one, path=place / one.path.name) for one in _tests(folder)])


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_test_of_a_source_passes(folder: Path) -> None:
    assert _run(folder, folder) == []


def _lacking(source: JSON) -> Iterator[tuple[str, JSON]]:
    """The source without one of its entries, or without a part of one."""
    events = source["events"]
    for place, entry in enumerate(events):
        what = f"{place}:{entry['type']}"
        if len(events) > 1:
            yield what, {**source, "events": events[:place] + events[place + 1 :]}
        changed: list[tuple[str, JSON]] = [
            (name, {key: value for key, value in entry.items() if key != name})
            for name in ("id", "time", "contact")
            if name in entry
        ]
        data = entry.get("data")
        for field in data if isinstance(data, dict) else ():
            rest = {key: value for key, value in data.items() if key != field}
            changed.append((f"data.{field}", {**entry, "data": rest}))
        for part, other in changed:
            yield f"{what}.{part}", {**source, "events": [*events[:place], other, *events[place + 1 :]]}


CASES = [
    pytest.param(folder, source, id=f"{folder.name}:{what}")
    for folder in FOLDERS
    for what, source in _lacking(documents(folder / f"{folder.name}.yaml")[0])
]


@pytest.mark.parametrize(("folder", "source"), CASES)
def test_what_is_missing_in_a_source_makes_its_test_fail(folder: Path, source: JSON, tmp_path: Path) -> None:
    (tmp_path / f"{folder.name}.yaml").write_text(json.dumps(source), encoding="utf-8")  # YAML
    assert _run(folder, tmp_path) != []
