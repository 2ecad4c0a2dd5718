"""Schemathesis over the OpenAPI page of the whole server: what it declares is what it answers.

`TOUCHLINE_FUZZ=80` makes that many cases of each operation, 5,000 and more in all; without it, a few.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backbone.settings import load_settings
from services.embedded import house, running

CASES = os.environ.get("TOUCHLINE_FUZZ", "3")
SEED = "20261124"  # with some, Schemathesis itself cannot say what a playbook is not, and ends with an error
# Two checks guess from the schema what should be refused. More is refused than a schema can say (a rule's fields
# go together, a template has to compile), and less (a batch is taken without its bad events, Segment's calls
# are read as kindly as Segment does).
GUESSES = "positive_data_acceptance,negative_data_rejection"


def test_a_put_may_create(tmp_path: Path) -> None:
    with house(load_settings(data_dir=tmp_path)) as rooms:
        paths = rooms.app.openapi()["paths"]
    for name in ("rules", "playbooks", "templates", "endpoints"):
        assert {"200", "201"} <= paths[f"/v1/{name}/{{name}}"]["put"]["responses"].keys()
    assert "201" not in paths["/v1/tiers"]["put"]["responses"]


@pytest.mark.slow
def test_answers_are_those_that_the_openapi_page_declares(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path / "data", port=0)
    with running(settings) as (_, url):
        key = (settings.data_dir / "admin.key").read_text().strip()
        result = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli"),
                *("run", f"{url}/openapi.json", "--header", f"Authorization: Bearer {key}"),
                *("--phases", "fuzzing", "--max-examples", CASES, "--seed", SEED),
                *("--checks", "all", "--exclude-checks", GUESSES),
                *("--continue-on-failure", "--no-shrink", "--no-color", "--request-timeout", "60"),
                *("--suppress-health-check", "all", "--warnings", "off"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert result.returncode == 0, result.stdout[-20_000:] + result.stderr[-5_000:]
    assert "Operations:" in result.stdout
