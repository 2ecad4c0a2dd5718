"""`touchline apply` of which mails assignees get, a document of which there is one."""

from pathlib import Path

import pytest

from tests.unit.cli.fake import Fake
from tests.unit.cli.test_apply import write

DOC = "kind: task-mails\nmade: true\nmorning: {{at: {}}}\npeople:\n  kim@us.test: {{timezone: {}}}\n"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fake:
    """An empty server."""
    return Fake(monkeypatch, capsys)


def test_it_is_replaced_without_a_question(server: Fake, tmp_path: Path) -> None:
    folder = write(tmp_path, mails=DOC.format('"08:00"', "Europe/Berlin"))
    code, out, _ = server.touchline("apply", folder)
    assert (code, out.splitlines()[0], server.calls) == (0, "created   task-mails", ["PUT task-mails"])
    assert server.touchline("apply", folder)[1].splitlines()[-1] == "1 unchanged"
    write(tmp_path, mails=DOC.format('"09:00"', "Europe/Berlin"))
    code, out, err = server.touchline("apply", folder)
    assert (code, out.splitlines()[0], err) == (0, "updated   task-mails", "")
    write(tmp_path, mails=DOC.format("early", "Berlin"))
    code, _, err = server.touchline("apply", folder)
    assert code == 1
    assert "mails.yaml:3: task-mails: morning.at: must be a time of day from 00:00 to 23:59" in err
    assert "mails.yaml:5: task-mails: people.kim@us.test.timezone: should be an IANA name" in err


def test_the_example_can_be_applied(server: Fake) -> None:
    code, out, err = server.touchline("apply", "examples/task-mails.yaml")
    assert (code, out.splitlines()[0], err) == (0, "created   task-mails", "")
