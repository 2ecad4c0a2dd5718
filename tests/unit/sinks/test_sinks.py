"""The library of sinks: each holds what its test says, its requests are well-formed, and its README says what to do."""

import json
import re
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
import yaml

from schemas.scenario import Scenario
from services.cli.documents import FileProblems, find, load
from services.cli.scenario import documents_of, read_scenario
from tests.unit.library.world import played

SINKS = Path(__file__).parents[3] / "sinks"
NAMES = (
    "hubspot-task", "intercom-note", "jira-issue", "mixpanel-event", "salesforce-task", "slack", "teams", "twilio-sms",
    "zendesk-ticket",
)  # fmt: skip
SECRET = re.compile(r"\$\{[A-Z][A-Z0-9_]*\}")


def scenario_of(name: str) -> tuple[Path, Scenario]:
    file = SINKS / name / f"{name}.test.yaml"
    return file, read_scenario(file)


def test_the_library_is_whole() -> None:
    assert sorted(path.name for path in SINKS.iterdir() if path.is_dir()) == list(NAMES)
    for name in NAMES:
        here = sorted(path.name for path in (SINKS / name).iterdir())
        assert here == ["README.md", f"{name}.test.yaml", f"{name}.yaml"]


@pytest.mark.parametrize("name", NAMES)
def test_the_scenario_passes(name: str) -> None:
    assert played(SINKS / name / f"{name}.test.yaml") == []


@pytest.mark.parametrize("name", NAMES)
def test_every_request_is_well_formed(name: str) -> None:
    _, scenario = scenario_of(name)
    sent = [one["request"] for one in scenario.expect.actions or () if "request" in one]
    assert sent
    for request in sent:
        assert all(
            "\n" not in line and line.isprintable() for line in (request["url"], *request["headers"].values())
        )
        if request["headers"]["Content-Type"] == "application/json":
            json.loads(request["body"])
        else:
            fields = [field for field, _ in parse_qsl(request["body"], strict_parsing=True)]
            assert len(set(fields)) == len(fields)


@pytest.mark.parametrize("name", NAMES)
def test_who_has_no_id_there_is_not_written_to(name: str) -> None:
    """Every sink that names a record has accounts in its test that have none, or several, and fail."""
    file, scenario = scenario_of(name)
    text = (SINKS / name / f"{name}.yaml").read_text()
    failed = [one for one in scenario.expect.actions or () if one.get("status") == "failed"]
    assert all(one["reason"] == "template_error" for one in failed)
    assert bool(failed) == (re.search(r"\| one\b", text) is not None)
    assert ("external_ids" in text) <= ("several" in {one["account"] for one in failed})
    assert file.exists()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_but_the_variables_is_secret(name: str) -> None:
    """What an endpoint keeps to itself comes from the environment, and the README names every variable."""
    (document,) = yaml.safe_load_all((SINKS / name / f"{name}.yaml").read_text())
    auth = document.get("auth", {})
    for kept in (
        auth.get("bearer"),
        *auth.get("basic", {}).values(),
        auth.get("oauth2", {}).get("client_secret"),
    ):
        assert kept is None or SECRET.search(kept)
    assert document["sign"] is False  # none of them knows our signature
    variables = set(SECRET.findall((SINKS / name / f"{name}.yaml").read_text()))
    readme = (SINKS / name / "README.md").read_text()
    assert variables
    assert sorted(one for one in variables if one[2:-1] not in readme) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_says_where_it_was_read(name: str) -> None:
    readme = (SINKS / name / "README.md").read_text()
    assert "not tried against the vendor" in " ".join(readme.lower().split())
    assert re.search(r"## Where this is from\n\n- .*https://", readme)
    assert f"touchline apply sinks/{name}" in readme


def test_apply_reads_the_sinks_and_nothing_else_there() -> None:
    found = {path.parent.name for path in find([SINKS])}
    assert found == set(NAMES)
    for name in NAMES:
        file, scenario = scenario_of(name)
        kinds = [one.kind for one in documents_of(file, scenario)]
        assert sorted(kinds) == ["endpoint", "playbook", "rule"]


def test_every_variable_is_asked_for_and_filled_in() -> None:
    """`apply` fills the sinks in from the environment, and names each variable that is not set."""
    files = find([SINKS])
    names = {one[2:-1] for file in files for one in SECRET.findall(file.read_text())}
    with pytest.raises(FileProblems) as refused:
        load(files, {})
    assert {one for one in names if f"the variable {one} is not set" not in str(refused.value)} == set()
    filled = load(files, {name: f"set-{name}".replace("_", "-").lower() for name in names})
    assert "${" not in "".join(json.dumps(one.body) for one in filled)
