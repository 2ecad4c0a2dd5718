"""The client that openapi-python-client makes of the page: its modules import, and it works against the server."""

import importlib
import json
import pkgutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

RULE = {"name": "first", "when": {"threshold": {"event": "seen", "at_least": 1}}, "status": "active"}


@pytest.fixture(scope="module")
def package(api: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    folder = tmp_path_factory.mktemp("generated")
    (folder / "page.json").write_text(json.dumps(api.get("/openapi.json").json()))
    (folder / "config.yml").write_text("post_hooks: []\n")  # it would format what it makes
    made = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "openapi_python_client",
                "generate",
                "--fail-on-warning",
                "--meta",
                "none",
            ),
            *("--path", "page.json", "--config", "config.yml", "--output-path", "generated_client"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.insert(0, str(folder))
    try:
        found = importlib.import_module("generated_client")
        for each in pkgutil.walk_packages(found.__path__, "generated_client."):
            importlib.import_module(each.name)
    finally:
        sys.path.remove(str(folder))
    return found


@pytest.fixture
def client(package: ModuleType, api: httpx.Client) -> Iterator[Any]:
    key = api.headers["authorization"].removeprefix("Bearer ")
    made = package.AuthenticatedClient(base_url=str(api.base_url), token=key, raise_on_unexpected_status=True)
    with made as opened:
        yield opened


def part(name: str) -> Any:
    return importlib.import_module(f"generated_client.{name}")


def test_it_has_a_call_for_every_operation(package: ModuleType, api: httpx.Client) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    folder = Path(str(package.__file__)).parent / "api"
    assert len(list(folder.glob("*/[a-z]*.py"))) == sum(len(calls) for calls in paths.values())


def test_it_saves_sends_and_reads(client: Any) -> None:
    models = part("models")
    saved = part("api.rules.create_v1_rules_post").sync(client=client, body=models.RuleIn.from_dict(RULE))
    assert (saved.name, saved.version, saved.when.to_dict()) == ("first", 1, RULE["when"])
    events = [models.EventIn(type_="seen", account="acme", id="e1")]
    taken = part("api.events.events_v1_events_post").sync(client=client, body=events)
    assert (taken.accepted, taken.rejected) == (1, [])
    status = part("api.status.status_v1_status_get")
    while not status.sync(client=client).idle:
        time.sleep(0.02)
    (trigger,) = part("api.triggers.listed_v1_triggers_get").sync(client=client).items
    assert (trigger.rule, trigger.account, trigger.evidence) == ("first", "acme", ["e1"])
    account = part("api.accounts.one_v1_accounts_id_get").sync("acme", client=client)
    assert (account.tier, account.contacts) == ("tech", [])


def test_it_reads_what_is_refused(client: Any) -> None:
    wrong = part("models").RuleIn.from_dict({**RULE, "cooldown": "never"})
    refused = part("api.rules.create_v1_rules_post").sync(client=client, body=wrong)
    assert (refused.status, [one.field for one in refused.errors]) == (422, ["cooldown"])
    missing = part("api.rules.rule_v1_rules_name_get").sync("nothing", client=client)
    assert (missing.status, missing.code) == (404, "not_found")
