"""What is missing for the servers is installed where that may be, else named in one line; it stops the run only where
nobody else gives them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deploy.local import need

APT = """#!/bin/sh
echo "$@" >> "$0.asked"
[ "$1" = update ] && exit 0
[ -e "$0.broken" ] && { echo "E: no such mirror"; exit 100; }
printf '#!/bin/sh\\necho "openjdk version \\\\"17.0.1\\\\"" >&2\\n' > "$(dirname "$0")/java"
printf '#!/bin/sh\\n' > "$(dirname "$0")/mvn"
chmod +x "$(dirname "$0")/java" "$(dirname "$0")/mvn"
"""


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without Java and Maven, on which nobody may install anything; the one folder of its PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "dirname", "chmod", "touch"):
        (folder / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(need.os, "geteuid", lambda: 0)
    monkeypatch.setattr(need, "_has_postgres", lambda: True)
    monkeypatch.setattr(need, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(need, "kafka_jars", lambda: tmp_path)
    monkeypatch.setattr(need, "node_packages", lambda _: tmp_path)
    monkeypatch.setattr(need, "node_version", lambda: need.NODE_AT_LEAST)
    monkeypatch.setattr(need, "chromium", lambda: "chromium")
    monkeypatch.delenv("TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS", raising=False)
    return folder


@pytest.fixture
def apt(path: Path) -> Path:
    """Debian's installer, for root."""
    made = path / "apt-get"
    made.write_text(APT)
    made.chmod(0o755)
    return made


def test_what_is_missing_stops_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        need.main()
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "touchline: please install default-jre-headless maven "
        "(Debian: apt-get install default-jre-headless maven)"
    )


def test_maven_alone_and_an_old_java_are_missed_too(
    path: Path, apt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need.ensure(kafka=True, postgres=False)
    assert need.missing(True, True) == []
    (path / "mvn").unlink()
    assert need.missing(True, True) == ["maven"]
    monkeypatch.setattr(need, "java_version", lambda: 11)
    assert need.missing(True, True) == ["default-jre-headless", "maven"]
    monkeypatch.setattr(need, "_has_postgres", lambda: False)
    assert need.missing(False, True) == ["postgresql"]


def test_what_other_peoples_libraries_run_on(
    apt: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(need, "node_version", lambda: 18)
    monkeypatch.setattr(need, "chromium", lambda: None)
    assert need.missing(False, False) == []
    assert need.missing(False, False, libraries=True) == ["nodejs", "npm", "chromium"]
    with pytest.raises(SystemExit):
        need.main()  # installed, and still too old
    assert Path(f"{apt}.asked").read_text().splitlines()[1].endswith("nodejs npm chromium")
    assert capsys.readouterr().err.splitlines()[-1] == (
        "touchline: please install nodejs npm chromium (Debian: apt-get install nodejs npm chromium); "
        "nodejs has to be 20 or newer"
    )


def test_root_on_debian_has_it_installed(apt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need.main()
    asked = Path(f"{apt}.asked").read_text().splitlines()
    assert asked[0].startswith("update")
    assert asked[1].endswith("default-jre-headless maven")
    assert capsys.readouterr().err == ""


def test_nobody_else_has(
    apt: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(need.os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit):
        need.main()
    assert not Path(f"{apt}.asked").exists()
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_installation_that_fails_is_told_with_what_to_install(
    apt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(f"{apt}.broken").touch()
    with pytest.raises(SystemExit):
        need.main()
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "E: no such mirror"
    assert said[-1].startswith("touchline: please install default-jre-headless maven")


def test_with_a_broker_given_it_is_told_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS", "broker:9092")
    need.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("tests that kill a server of their own will fail")
