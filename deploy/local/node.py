"""Node.js, packages from npm and Chromium, for the tests of other people's libraries. Packages lie in the cache."""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from deploy.local.jars import cache_folder
from deploy.local.process import LocalError

NODE_AT_LEAST = 20
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_FILES = ("package.json", "package-lock.json", ".npmrc")


def node_version() -> int:
    """Node's major version on PATH; 0 without one, or without npm."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return 0
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)", said)
    return int(found.group(1)) if found else 0


def chromium() -> str | None:
    """The browser on PATH."""
    return next((found for name in _BROWSERS if (found := shutil.which(name))), None)


def node_packages(folder: Path) -> Path:
    """`node_modules` of the folder's lock; fetched once, by one process at a time. Nothing of it is run."""
    lock = hashlib.sha256(b"".join((folder / name).read_bytes() for name in _FILES)).hexdigest()[:16]
    kept = cache_folder() / f"node-{lock}"
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "fetch.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not kept.is_dir():
            _fetch(folder, kept)
    return kept / "node_modules"


def _fetch(folder: Path, kept: Path) -> None:
    """Into a folder beside, then moved in one step, so that half a set is never taken."""
    if shutil.which("npm") is None:
        raise LocalError("npm is not on PATH (Debian: apt-get install nodejs npm)")
    with tempfile.TemporaryDirectory(dir=kept.parent) as work:
        place = Path(work) / "packages"
        place.mkdir()
        for name in _FILES:
            shutil.copy(folder / name, place / name)
        _npm(place)
        place.rename(kept)


def _npm(place: Path) -> None:
    said = ""
    for pause_s in (0, 3, 10):
        time.sleep(pause_s)
        done = subprocess.run(
            ["npm", "ci", "--ignore-scripts"],
            cwd=place, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            return
        said = (done.stdout + done.stderr)[-1500:]
    raise LocalError(f"npm could not fetch the libraries that tests run:\n{said}")
