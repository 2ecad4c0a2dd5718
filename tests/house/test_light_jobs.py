"""The process of a long job starts quickly: it imports nothing that it needs only now and then."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.house.tree import ROOT

HEAVY = (
    "sqlalchemy",
    "fastapi",
    "structlog",
    "prometheus_client",
    "pydantic_settings",
    "rich",
    "email_validator",
)


@pytest.mark.parametrize("module", ["services.rules.backtest.process", "services.actions.rehearsal_process"])
def test_a_job_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert said.stdout.split() == []
