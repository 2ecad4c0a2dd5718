"""Apache Kafka's jars from Maven Central, kept in the user's cache folder, outside the tree."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from deploy.local.process import LocalError

KAFKA_VERSION = "4.4.0"

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>touchline</groupId>
  <artifactId>local-kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{version}</version>
    </dependency>
  </dependencies>
</project>
"""


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/touchline`, by default `~/.cache/touchline`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "touchline"


def kafka_jars(version: str = KAFKA_VERSION) -> Path:
    """The folder of Kafka's jars; fetched once (about 45 MB), by one process at a time."""
    folder = cache_folder() / f"kafka-{version}"
    if folder.is_dir():
        return folder
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "fetch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _fetch(version, folder)
    return folder


def _fetch(version: str, folder: Path) -> None:
    """Into a folder beside `folder`, then moved in one step, so that half a set is never taken."""
    if shutil.which("mvn") is None:
        raise LocalError("Maven is not on PATH (Debian: apt-get install maven default-jre-headless)")
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        pom = Path(work) / "pom.xml"
        pom.write_text(_POM.format(version=version))
        _maven(pom, Path(work) / "libs")
        (Path(work) / "libs").rename(folder)


def _maven(pom: Path, out: Path) -> None:
    command = ["mvn", "-q", "-B", "--strict-checksums", "-f", str(pom)]
    command += ["dependency:copy-dependencies", f"-DoutputDirectory={out}", "-DincludeScope=runtime"]
    said = ""
    for pause_s in (0, 3, 10):
        time.sleep(pause_s)
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode == 0 and any(out.glob("kafka_*.jar")):
            return
        said = (done.stdout + done.stderr)[-1500:]
    raise LocalError(f"Maven could not fetch Apache Kafka:\n{said}")
