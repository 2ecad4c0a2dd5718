"""The example of a morning list: `touchline test` collects, sends one mail, and leaves out what is settled."""

import shutil
from pathlib import Path

import pytest

from services.cli.scenario import Difference, renderer
from services.cli.scenario import run as run_file
from tests.house.tree import ROOT

FOLDER = ROOT / "examples" / "morning-list"


def run(file: Path) -> list[Difference]:
    with renderer() as render:
        return run_file(file, render)


def test_the_example_holds() -> None:
    assert run(FOLDER / "one-mail.test.yaml") == []
    assert run(FOLDER / "no-mail.test.yaml") == []


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("exit_when: {event: ticket.closed, by: data.ticket}\n", ""),
        (", days: [mon, tue, wed, thu, fri]", ""),
    ],
)
def test_without_its_exit_or_its_days_the_twin_fails(tmp_path: Path, was: str, now: str) -> None:
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    text = (tmp_path / "playbook.yaml").read_text()
    assert was in text
    (tmp_path / "playbook.yaml").write_text(text.replace(was, now))
    assert run(tmp_path / "one-mail.test.yaml") == []
    assert run(tmp_path / "no-mail.test.yaml") != []


def test_the_mail_says_what_is_in_it(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "one-mail.test.yaml"
    path.write_text(path.read_text().replace("subject: 2 urgent", "subject: 3 urgent"))
    told = " ".join(str(one) for one in run(path))
    assert "Good morning Jo" in told
    assert "Login fails" in told
