"""Every setting can be set in the Helm chart and in Compose, secrets as secrets, and what is empty has its default."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest
import yaml
from pydantic import SecretStr

from backbone.setting_checks import PREFIX
from backbone.settings import Settings
from tests.house.tree import ROOT

# Of the image, and of the embedded log, which neither the chart nor Compose runs.
NOT_HERE = {"host", "port", "data_dir", "accept_loss"}
SECRET_TOO = {"database_url"}  # it holds a password
# What the files wire up themselves: where the console finds the services, and that these believe it.
FOR_CONSOLE = {"ingest_url", "rules_url", "actions_url"}
WIRED = FOR_CONSOLE | {"trusted_proxies"}
# What the files themselves set, because it is about what they run.
CHOSEN_BY_CHART = {"kafka_replication_factor", "log_level", "accounts_in_memory"}
CHOSEN_BY_COMPOSE = {"database_url", "kafka_bootstrap_servers", "secret_key", "public_url", "trusted_proxies"}
# Of the others, what the console needs: the same in the chart's `$ofConsole`.
CONSOLE_TOO = {
    "public_url", "log_level", "log_format", "clock_jumps", "header_timeout", "body_timeout", "write_timeout"
}  # fmt: skip

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
VALUES: dict[str, Any] = yaml.safe_load((ROOT / "deploy/helm/touchline/values.yaml").read_text())
ALL = {PREFIX + name.upper(): name for name in Settings.model_fields if name not in NOT_HERE}


def is_secret(name: str) -> bool:
    annotation = Settings.model_fields[name].annotation
    return name in SECRET_TOO or annotation is SecretStr or SecretStr in get_args(annotation)


def test_the_chart_lists_every_setting_where_it_belongs() -> None:
    secrets = {variable for variable, name in ALL.items() if is_secret(name)}
    assert set(VALUES["secrets"]) == secrets
    wired = {variable for variable, name in ALL.items() if name in WIRED}
    assert set(VALUES["settings"]) == set(ALL) - secrets - wired
    assert {"smtp_url", "dkim_key"} <= {ALL[one] for one in secrets}


def test_the_chart_sets_nothing_unasked() -> None:
    given = {**VALUES["settings"], **VALUES["secrets"]}
    assert {ALL[name] for name, value in given.items() if value != ""} == CHOSEN_BY_CHART


@pytest.mark.parametrize("service", ["migrate", "ingest", "rules", "actions"])
def test_compose_takes_every_setting_from_the_environment(service: str) -> None:
    environment = COMPOSE["services"][service]["environment"]
    assert set(environment) == {variable for variable, name in ALL.items() if name not in FOR_CONSOLE}
    passed_on = {ALL[name] for name, value in environment.items() if value == f"${{{name}:-}}"}
    assert {ALL[name] for name in environment} - passed_on == CHOSEN_BY_COMPOSE


def test_the_console_takes_what_concerns_it_and_no_more() -> None:
    environment = COMPOSE["services"]["console"]["environment"]
    assert {ALL[name] for name in environment} == {*WIRED, *CONSOLE_TOO, "secret_key"}
    assert all(
        environment[PREFIX + name.upper()] == f"${{{PREFIX + name.upper()}:-}}" for name in CONSOLE_TOO
    )
    helpers = (ROOT / "deploy/helm/touchline/templates/_helpers.tpl").read_text()
    listed = re.search(r"\$ofConsole := list (.*?) }}", helpers)
    assert listed is not None
    assert set(listed[1].replace('"', "").split()) == {PREFIX + name.upper() for name in CONSOLE_TOO}


def test_files_that_settings_name_can_be_brought_in() -> None:
    for service in ("migrate", "ingest", "rules", "actions"):
        found = [re.sub(r"\$\{.*\}", "x", one) for one in COMPOSE["services"][service]["volumes"]]
        assert "x:/etc/touchline:ro" in found
