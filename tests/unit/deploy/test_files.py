"""The files of deploy/ name metrics, settings, commands and files that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from backbone import status_metrics, telemetry
from backbone.settings import unknown_settings
from backbone.status_metrics import StatusGauge
from services.actions import metrics as of_actions
from services.ingest import metrics as of_ingest
from services.rules import metrics as of_rules

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
METRICS = (telemetry, status_metrics, of_ingest, of_rules, of_actions)
METRIC = re.compile(r"\btouchline_[a-z_]+")


def exported() -> dict[str, set[str]]:
    """Every series' name, as Prometheus sees it, with its labels."""
    found: dict[str, set[str]] = {}
    meters = [value for module in METRICS for value in vars(module).values()]
    for meter in meters:
        if isinstance(meter, StatusGauge):
            found[meter.name] = set(meter.labels)
        elif isinstance(meter, MetricWrapperBase):
            (family,) = meter.describe()
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
            for suffix in suffixes.get(family.type, [""]):
                found[family.name + suffix] = {*meter._labelnames, "le"}
    return found


def expressions() -> list[str]:
    """All PromQL of the alerts and the dashboard."""
    alerts = yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())
    board = json.loads((DEPLOY / "grafana/touchline.json").read_text())
    found = [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    return found + [each["expr"] for panel in board["panels"] for each in panel.get("targets", [])]


@pytest.mark.parametrize("expression", expressions())
def test_alerts_and_dashboard_name_metrics_that_exist(expression: str) -> None:
    known = exported()
    names = METRIC.findall(expression)
    assert names
    assert [name for name in names if name not in known] == []
    labels = {
        part.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for part in group.split(",")
    }
    labels |= set(re.findall(r"[{,]\s*([a-z_]+)\s*[!=]", expression))
    assert labels <= set().union(*(known[name] for name in names))


def test_every_metric_is_watched() -> None:
    """By an alert or the dashboard; of a histogram any of its series."""
    watched = {name for expression in expressions() for name in METRIC.findall(expression)}
    of_one = re.compile(r"_(bucket|sum|count)$")
    assert {of_one.sub("", name) for name in exported()} == {of_one.sub("", name) for name in watched}


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def test_compose_runs_the_services_the_console_and_the_migration() -> None:
    commands = {name: each["command"] for name, each in compose()["services"].items() if "command" in each}
    assert commands == {
        "migrate": ["migrate"],
        "ingest": ["serve", "ingest"],
        "rules": ["serve", "rules"],
        "actions": ["serve", "actions"],
        "console": ["serve", "console"],
    }


def test_compose_and_chart_set_settings_that_exist() -> None:
    values = yaml.safe_load((DEPLOY / "helm/touchline/values.yaml").read_text())
    services = compose()["services"]
    of_console = services["console"]["environment"]
    set_here = {**services["rules"]["environment"], **of_console, **values["settings"], **values["secrets"]}
    assert unknown_settings(set_here) == []
    assert set(values["services"]) == {"ingest", "rules", "actions", "console"}
    helpers = (DEPLOY / "helm/touchline/templates/_helpers.tpl").read_text()
    for name in ("ingest", "rules", "actions"):
        assert of_console[f"TOUCHLINE_{name.upper()}_URL"] == f"http://{name}:8080"
        assert f'"{name}"' in helpers


def test_the_console_gets_neither_database_nor_log() -> None:
    environment = compose()["services"]["console"]["environment"]
    assert not {name for name in environment if "DATABASE" in name or "KAFKA" in name or "SMTP" in name}


def test_the_memory_of_rules_fits_its_pods() -> None:
    """One pod may come to have all partitions; half of its memory is for everything but account states."""
    values = yaml.safe_load((DEPLOY / "helm/touchline/values.yaml").read_text())
    limit = values["services"]["rules"]["resources"]["limits"]["memory"]
    assert limit.endswith("Gi")
    assert 2 * values["settings"]["TOUCHLINE_ACCOUNTS_IN_MEMORY"] <= int(limit.removesuffix("Gi")) * 1024


def test_the_image_copies_what_is_there() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copied = [
        word
        for line in lines
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    ]
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert [name for name in copied if not (DEPLOY.parent / name).exists()] == []
    assert [name for name in copied if f"!{name}" not in allowed] == []
