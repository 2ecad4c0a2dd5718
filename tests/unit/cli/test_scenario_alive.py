"""The example of a source that falls silent: `touchline test` knows `alive`, and says what it held back."""

import shutil
from pathlib import Path

from services.cli.scenario import Difference, renderer
from services.cli.scenario import run as run_file
from tests.house.tree import ROOT

FOLDER = ROOT / "examples" / "silent-source"


def run(file: Path) -> list[Difference]:
    with renderer() as render:
        return run_file(file, render)


def test_the_example_holds() -> None:
    assert run(FOLDER / "tracking-works.test.yaml") == []
    assert run(FOLDER / "tracking-broken.test.yaml") == []


def test_without_alive_the_twin_fails(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    lines = (tmp_path / "rule.yaml").read_text().splitlines()
    (tmp_path / "rule.yaml").write_text("\n".join(line for line in lines if not line.startswith("alive:")))
    assert run(tmp_path / "tracking-works.test.yaml") == []
    found = run(tmp_path / "tracking-broken.test.yaml")
    assert any("2026-01-15T09:00:00Z" in str(one) for one in found), "it fires while nobody knows"


def test_what_the_silence_held_back_says_so(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "tracking-broken.test.yaml"
    path.write_text(path.read_text().replace("at: 2026-01-21T09:00:00Z", "at: 2026-01-15T10:00:00Z"))
    told = " ".join(str(one) for one in run(path))
    assert (
        "No feature.used, login or page event of any account has come since 10 January 2026, 05:10 UTC"
        in told
    )
