"""`/docs` in a browser that reaches nobody but us: the operations are there, and nothing was held back."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.server import running

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.timeout(180)
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")
def test_the_page_shows_the_operations(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        done = subprocess.run(
            [
                *(str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
                *(f"--user-data-dir={tmp_path}/profile", "--disable-background-networking"),
                *("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--enable-logging=stderr"),
                "--window-size=1200,20000",  # the page draws what is in sight
                *("--virtual-time-budget=20000", "--dump-dom", f"{server.url}/docs"),
            ],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    shown = set(re.findall(r'data-path="([^"]+)"', done.stdout))
    assert {"/v1/events", "/v1/rules", "/v1/playbooks", "/healthz"} <= shown, done.stderr[-2000:]
    told = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert told == [], "the browser has held something back, or a script failed"
