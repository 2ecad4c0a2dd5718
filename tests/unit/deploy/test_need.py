"""What is missing for the servers is named in one line; it stops the run only where nobody else gives them."""

from __future__ import annotations

import pytest

from deploy.local import need


@pytest.fixture(autouse=True)
def _bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Java, and nobody who may install it."""
    monkeypatch.setattr(need, "can_apt", lambda: False)
    monkeypatch.setattr(need, "java_version", lambda: 0)
    monkeypatch.setattr(need, "_has_postgres", lambda: True)
    monkeypatch.delenv("TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS", raising=False)


def test_what_is_missing_stops_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        need.main()
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "default-jre-headless" in line


def test_with_a_broker_given_it_is_told_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS", "broker:9092")
    need.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("tests that kill a server of their own will fail")
