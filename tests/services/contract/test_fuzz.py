"""Schemathesis over the OpenAPI page of the whole server: what it declares is what it answers.

`TOUCHLINE_FUZZ=300` makes that many cases of each operation, 16,500 and more in all; without it, a few.
"""

import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from backbone.database import Database
from backbone.settings import Settings, load_settings
from backbone.web.api_keys import create_key
from services.app import open_runtime, running
from tests.conftest import KafkaServer
from tests.migrated import migrated

CASES = os.environ.get("TOUCHLINE_FUZZ", "3")
SEED = "20261124"
# Two checks guess from the schema what should be refused. More is refused than a schema can say (a rule's fields
# go together, a template has to compile), and less (a batch is taken without its bad events, Segment's calls
# are read as kindly as Segment does).
GUESSES = "positive_data_acceptance,negative_data_rejection"
GENERATED = re.compile(r"([\d,]+) generated, ([\d,]+) passed")
FEWEST = 250  # cases in all; more than three times 74 operations


def test_a_put_may_create(tmp_path: Path) -> None:
    with open_runtime(load_settings(data_dir=tmp_path)) as rooms:
        paths = rooms.app.openapi()["paths"]
    for name in ("rules", "playbooks", "templates", "endpoints"):
        assert {"200", "201"} <= paths[f"/v1/{name}/{{name}}"]["put"]["responses"].keys()
    assert "201" not in paths["/v1/tiers"]["put"]["responses"]


@pytest.fixture
def large(kafka: KafkaServer, fresh_postgres_url: str, tmp_path: Path) -> Settings:
    """Kafka and PostgreSQL."""
    with closing(Database(fresh_postgres_url)) as database:
        migrated(database)
    given = {"database_url": fresh_postgres_url, "kafka_bootstrap_servers": kafka.bootstrap_servers}
    return load_settings(data_dir=tmp_path / "data", port=0, secret_key="sixteen letters and more", **given)


@pytest.mark.slow
def test_answers_are_those_that_the_openapi_page_declares(tmp_path: Path) -> None:
    answers_are_those_that_are_declared(load_settings(data_dir=tmp_path / "data", port=0), tmp_path)


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.postgres
def test_answers_are_those_that_the_openapi_page_declares_on_the_large_stack(
    large: Settings, tmp_path: Path
) -> None:
    answers_are_those_that_are_declared(large, tmp_path)


def answers_are_those_that_are_declared(settings: Settings, folder: Path) -> None:
    with running(settings) as (rooms, url):
        key = create_key(rooms.db, rooms.clock, "fuzz", ["admin"])
        result = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli"),
                *("run", f"{url}/openapi.json", "--header", f"Authorization: Bearer {key}"),
                *("--phases", "fuzzing", "--max-examples", CASES, "--seed", SEED),
                *("--checks", "all", "--exclude-checks", GUESSES),
                *("--continue-on-failure", "--no-shrink", "--no-color", "--request-timeout", "60"),
                *("--suppress-health-check", "all", "--warnings", "off"),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    assert result.returncode == 0, result.stdout[-20_000:] + result.stderr[-5_000:]
    found = GENERATED.search(result.stdout)
    assert found is not None, result.stdout
    generated, passed = (int(one.replace(",", "")) for one in found.groups())
    assert passed == generated >= FEWEST
