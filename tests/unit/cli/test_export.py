"""`touchline export`: files that `apply` takes for what they were, whatever the server calls its documents."""

from pathlib import Path

import pytest

from tests.unit.cli.fake import Fake

TEXTS = "where the code is 08001:\n\n\tand\u2028so on \n"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fake:
    server = Fake(monkeypatch, capsys)
    when = {
        "threshold": {"event": "e", "at_least": {"high": 1}, "where": {"data.code": "08001", "data.n": 1e3}}
    }
    server.save("/v1/rules/a", when=when, description=TEXTS, status="paused", unhealthy="x", warnings=[])
    server.save("/v1/playbooks/b", steps=[{"email": {"template": "t"}}, {"wait": "1d"}], held_by_nobody=1)
    server.save("/v1/templates/t", subject="on", markdown=TEXTS)
    server.save("/v1/endpoints/c", url="https://c.test", description="1e3")
    server.save("/v1/tiers", tiers=[{"tier": "high", "where": {"account.id": "08"}}, {"tier": "tech"}])
    server.save("/v1/aliases", aliases={"signed_up": "account.signed_up", "1e3": "x"})
    server.save("/v1/policy", hours={"from": "08:00", "to": "24:00"}, holidays=["2026-12-25"], warnings=[])
    server.save("/v1/brand", name="1e3", postal_address="08\nSpringfield", logo_url=None)
    server.save("/v1/task-mails", made=True, morning={"at": "08:00"}, people={"08@us.test": {"made": False}})
    return server


def test_there_and_back(server: Fake, tmp_path: Path) -> None:
    code, out, err = server.touchline("export", str(tmp_path / "out"))
    assert (code, out, err) == (0, f"9 documents written to {tmp_path}/out\n", "")
    code, out, err = server.touchline("apply", str(tmp_path / "out"))
    assert (code, out.splitlines()[-1], err) == (0, "9 unchanged", "")


def test_into_an_empty_server(server: Fake, tmp_path: Path) -> None:
    server.touchline("export", str(tmp_path / "out"))
    kept, server.documents = server.documents, {}
    assert server.touchline("apply", str(tmp_path / "out"))[0] == 0
    held = {path: (item.get("status"), item.get("markdown"), item.get("when")) for path, item in kept.items()}
    assert held == {
        path: (item.get("status"), item.get("markdown"), item.get("when"))
        for path, item in server.documents.items()
    }


def test_a_file_is_no_folder(server: Fake, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "file", tmp_path / "file" / "below"):
        code, _, err = server.touchline("export", str(target))
        assert code == 1
        assert err.startswith(f"touchline: {tmp_path}/file")
        assert err.count("\n") == 1


def test_names_that_are_no_names_become_no_paths(server: Fake, tmp_path: Path) -> None:
    server.save("/v1/rules/evil", when={})
    server.documents["/v1/rules/evil"]["name"] = "../../\x1b[2Jevil"
    code, _, err = server.touchline("export", str(tmp_path / "out"))
    assert code == 1
    assert "the server has a rule whose name is none: '../../\\x1b[2Jevil'" in err
    assert not (tmp_path / "out").exists()


def test_names_that_differ_in_capitals_alone(server: Fake, tmp_path: Path) -> None:
    server.save("/v1/templates/T", subject="other", markdown="m")
    server.touchline("export", str(tmp_path))
    names = {path.name.casefold() for path in (tmp_path / "templates").iterdir()}
    assert names == {"t.yaml", "t~2.yaml"}
    assert server.touchline("apply", str(tmp_path))[1].splitlines()[-1] == "10 unchanged"


def test_what_was_deleted_since_is_named(server: Fake, tmp_path: Path) -> None:
    server.touchline("export", str(tmp_path))
    del server.documents["/v1/rules/a"]
    _, _, err = server.touchline("export", str(tmp_path))
    assert f"{tmp_path}/rules/a.yaml: nothing of this name is on the server" in err
