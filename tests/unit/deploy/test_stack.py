"""`make stack` as it is asked for: how many of each, and where they listen."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy.local import stack as local

ROOT = Path(__file__).parents[3]


def asked(*words: str) -> str:
    """What make would run."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "-n", *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_make_hands_on_how_many_there_shall_be() -> None:
    assert "deploy.local.stack --ingest 1 --rules 1 --actions 1" in asked("stack")
    assert "deploy.local.stack --ingest 3 --rules 2 --actions 4" in asked(
        "stack", "RULES=2", "ACTIONS=4", "INGEST=3"
    )


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> local.Stack:
    """One that is not started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "Postgres", lambda _: SimpleNamespace(url=lambda _: "postgresql://h/d"))
    return local.Stack(tmp_path / "data", {"ingest": 1, "rules": 1, "actions": 1})


def test_the_services_listen_where_the_readme_says(stack: local.Stack) -> None:
    assert stack.ports == {"console": 8080, "ingest": 8081, "rules": 8082, "actions": 8083}
    assert stack.environment()["TOUCHLINE_PUBLIC_URL"] == "http://127.0.0.1:8080"


def test_the_console_finds_the_services_and_they_believe_it(
    stack: local.Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOUCHLINE_TRUSTED_PROXIES", "10.1.0.0/16")
    *services, console = [(each.name, each.child.env or {}) for each in stack._plan()]
    assert [name for name, _ in services] == ["ingest", "rules", "actions"]
    assert {env["TOUCHLINE_TRUSTED_PROXIES"] for _, env in services} == {"10.1.0.0/16,127.0.0.1/32"}
    name, env = console
    assert name == "console"
    assert env["TOUCHLINE_TRUSTED_PROXIES"] == "10.1.0.0/16"  # not every caller on this machine is a proxy
    assert [env[f"TOUCHLINE_{each}_URL"][-4:] for each in ("INGEST", "RULES", "ACTIONS")] == [
        "8081",
        "8082",
        "8083",
    ]
    assert env["TOUCHLINE_PORT"] == "8080"
    assert env["TOUCHLINE_SECRET_KEY"] == services[0][1]["TOUCHLINE_SECRET_KEY"]
    assert env.keys().isdisjoint(
        {"TOUCHLINE_DATABASE_URL", "TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS", "TOUCHLINE_PUBLIC_URL"}
    )


def test_a_secret_is_made_once(stack: local.Stack) -> None:
    made = stack.environment()["TOUCHLINE_SECRET_KEY"]
    assert stack.environment()["TOUCHLINE_SECRET_KEY"] == made
    assert (stack.data / "secret.key").read_text().strip() == made


def test_what_the_env_file_says_is_not_overruled(stack: local.Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The services read the file themselves, and what they are given in the environment would win over it."""
    lines = ["DATA_DIR=elsewhere", "SECRET_KEY=sixteen letters!!", "PUBLIC_URL=https://touch.test"]
    Path(".env").write_text("".join(f"TOUCHLINE_{line}\n" for line in lines))
    assert not stack.environment().keys() & {"TOUCHLINE_SECRET_KEY", "TOUCHLINE_PUBLIC_URL"}
    monkeypatch.setattr("sys.argv", ["stack"])
    assert local._options().data == Path("elsewhere")


def test_a_wrong_setting_is_one_line(
    stack: local.Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOUCHLINE_CLOCK", "sundial")
    monkeypatch.setattr("sys.argv", ["stack"])
    monkeypatch.setattr(local, "interrupt_on_signals", lambda: None)
    with pytest.raises(SystemExit) as ended:
        local.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "touchline: TOUCHLINE_CLOCK: should be 'wall' or 'log'\n"
