"""Java, Maven, PostgreSQL, Node.js and Chromium: found, or installed as root on Debian, or named in one line.

`python -m deploy.local.need`. If TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS or TOUCHLINE_DATABASE_URL is set, the
tests use that server, except for those that kill or rebuild one; a missing server is then only reported.
Node.js and Chromium run other people's libraries, Chromium our pages too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.local.jars import KAFKA_VERSION, cache_folder, kafka_jars
from deploy.local.node import NODE_AT_LEAST, chromium, node_packages, node_version
from deploy.local.postgres import tool
from deploy.local.process import LocalError

JAVA_AT_LEAST = 17
LIBRARIES = Path(__file__).parents[2] / "tests" / "e2e" / "libraries"


def main() -> None:
    """Exits with 1 and one line on standard error if something is missing and cannot be installed."""
    kafka = bool(os.environ.get("TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS"))
    postgres = bool(os.environ.get("TOUCHLINE_DATABASE_URL"))
    try:
        ensure(not kafka, not postgres, libraries=True)
    except LocalError as error:
        print(f"touchline: {error}", file=sys.stderr)
        sys.exit(1)
    try:
        ensure(kafka, postgres)
    except LocalError as error:
        print(f"touchline: {error}; tests that kill a server of their own will fail", file=sys.stderr)


def ensure(kafka: bool, postgres: bool, libraries: bool = False) -> None:
    """Make sure that Kafka and PostgreSQL start here, and libraries run; raises LocalError with what to install."""
    packages = missing(kafka, postgres, libraries)
    if packages and can_apt():
        print(f"==> installing {' '.join(packages)} (apt-get)", flush=True)
        _apt(packages)
        packages = missing(kafka, postgres, libraries)
    if packages:
        names = " ".join(packages)
        newer = f"; nodejs has to be {NODE_AT_LEAST} or newer" if "nodejs" in packages else ""
        raise LocalError(f"please install {names} (Debian: apt-get install {names}){newer}")
    if kafka and not (cache_folder() / f"kafka-{KAFKA_VERSION}").is_dir():
        print("==> fetching Apache Kafka from Maven Central (45 MB, once)", flush=True)
    if kafka:
        kafka_jars()
    if libraries:
        node_packages(LIBRARIES)


def missing(kafka: bool, postgres: bool, libraries: bool = False) -> list[str]:
    """The Debian packages that would help."""
    packages = []
    if kafka and java_version() < JAVA_AT_LEAST:
        packages.append("default-jre-headless")
    if kafka and shutil.which("mvn") is None:
        packages.append("maven")
    if postgres and not _has_postgres():
        packages.append("postgresql")
    if libraries and node_version() < NODE_AT_LEAST:
        packages += ["nodejs", "npm"]
    if libraries and chromium() is None:
        packages.append("chromium")
    return packages


def java_version() -> int:
    """Java's major version on PATH; 0 without one."""
    if shutil.which("java") is None:
        return 0
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    return int(found.group(1)) if found else 0


def _has_postgres() -> bool:
    try:
        tool("postgres")
        tool("initdb")
    except LocalError:
        return False
    return True


def can_apt() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _apt(packages: list[str]) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(["apt-get", *command], env=env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print((done.stdout + done.stderr)[-1000:], file=sys.stderr)


if __name__ == "__main__":
    main()
