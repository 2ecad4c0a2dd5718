"""The lines of the README, pasted as they stand, get a newcomer from a started server to a mail in the outbox."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.server import running

README = Path(__file__).parents[2] / "README.md"


def pasted(url: str, data: Path) -> str:
    """The second shell block, for another address and data folder."""
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    block: str = next(block for block in blocks if block.startswith("export KEY="))
    assert "data/admin.key" in block
    assert "http://127.0.0.1:8080" in block
    return block.replace("http://127.0.0.1:8080", url).replace("data/", f"{data}/")


@pytest.mark.timeout(120)
def test_the_five_minutes_work_as_written(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        script = pasted(server.url, tmp_path / "data")
        waited = script.replace("sleep 2;", f"for i in $(seq 200); do ls {tmp_path}/data/outbox/*.eml >/dev/null 2>&1 "
                                "&& break; sleep 0.1; done;")  # fmt: skip
        assert waited != script, "the README no longer sleeps before it looks"
        done = subprocess.run(
            ["bash", "-eu", "-c", waited], capture_output=True, text=True, timeout=60, check=False
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        assert "Subject: Acme: shall we look at this together?" in said
        assert "ann@acme.test" in said
        assert "Look at the tickets of Acme" in said, "the task"
        assert '"reason":"' in said, "the explanation"
        server.settle()
    assert not list((tmp_path / "data" / "outbox").glob("*.tmp"))
    assert server.stop() in {0, -2}, "Ctrl-C stops it cleanly"
