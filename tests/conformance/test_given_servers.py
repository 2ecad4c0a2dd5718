"""Servers that are named in the environment are those that the suite uses: it starts none in their place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOBODY = "127.0.0.1:1"
ASKED = {  # a test of each server, and what it says where nobody listens
    "tests/conformance/log/test_append_and_read.py::test_an_append_answers_each_entrys_place[kafka]": (
        f"no Kafka server can be reached at {NOBODY}"
    ),
    "tests/conformance/database/test_twins.py::test_migrations_twice[postgresql]": "port 1 failed",
}


@pytest.mark.kafka
@pytest.mark.postgres
def test_the_suite_uses_the_servers_it_is_given() -> None:
    """Nobody listens there, so nothing passes; with servers of its own everything would."""
    given = {
        "TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS": NOBODY,
        "TOUCHLINE_DATABASE_URL": f"postgresql://nobody@{NOBODY}/none",
    }
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *ASKED]
    env = {**os.environ, **given}
    ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert all(said in ran.stdout for said in ASKED.values()), ran.stdout
    last = ran.stdout.splitlines()[-1]
    assert "passed" not in last
    assert "skipped" not in last
