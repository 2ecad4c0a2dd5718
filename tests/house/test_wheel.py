"""The package holds what a server needs beside its code."""

import subprocess
import sys
import zipfile
from pathlib import Path

from tests.house.tree import LIBRARIES, ROOT, SHIPPED, files, name_of


def test_the_wheel_has_every_file_of_the_shipped_folders(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    wanted = {name_of(path) for path in files() if name_of(path).split("/")[0] in {*SHIPPED, *LIBRARIES}}
    assert sorted(wanted - packed) == []
    assert "backbone/static/swagger-ui/swagger-ui-bundle.js" in packed
