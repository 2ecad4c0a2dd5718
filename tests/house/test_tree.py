"""What must not lie in the repository: paths of one machine, unfinished work, dead links, stale locks."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from deploy.vendor import packages
from schemas.version import VERSION
from tests.house.tree import ROOT, SHIPPED, files, name_of, python_files

BINARY = {".png", ".jpg", ".ico", ".gz", ".woff2", ".parquet", ".zst", ".xz"}
# Written in pieces, so that this file passes its own check.
MACHINE_PATH = re.compile(r"(?<![\w.$~}-])/(?:" + "wo" + "rk|ro" + r"ot|ho" + r"me/\w+|Us" + r"ers/\w+)/")
UNFINISHED = re.compile(r"\b(?:TO" + "DO|FIX" + "ME|X" + r"XX)\b")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


def _texts() -> list[tuple[str, str]]:
    """Of everything that we wrote."""
    others = {package.place(file) for package in packages() for file in package.files}
    return [
        (name_of(path), path.read_text(encoding="utf-8", errors="replace"))
        for path in files()
        if path.suffix not in BINARY and path not in others
    ]


@pytest.mark.parametrize("forbidden", [MACHINE_PATH, UNFINISHED], ids=["machine paths", "unfinished work"])
def test_no_file_holds(forbidden: re.Pattern[str]) -> None:
    found = [
        f"{name}:{number} {line.strip()[:80]}"
        for name, text in _texts()
        for number, line in enumerate(text.splitlines(), 1)
        if forbidden.search(line)
    ]
    assert found == []


def test_links_between_documents_lead_somewhere() -> None:
    dead = []
    for path in files():
        if path.suffix == ".md":
            for target in LINK.findall(path.read_text(encoding="utf-8")):
                if ":" not in target and not (path.parent / target).exists():
                    dead.append(f"{name_of(path)}: {target}")
    assert dead == []


def test_each_number_of_a_decision_stands_once() -> None:
    decisions = sorted((ROOT / "docs/decisions").glob("*.md"))
    numbers = Counter(path.name[:4] for path in decisions)
    assert [number for number, count in numbers.items() if count > 1] == []
    headings = {path.name: path.read_text().split(".")[0] for path in decisions}
    assert headings == {path.name: f"# {int(path.name[:4])}" for path in decisions}


def test_every_folder_of_shipped_code_is_a_package() -> None:
    folders = {path.parent for path in python_files(*SHIPPED) if path.parent.name != "versions"}  # Alembic's
    assert sorted(name_of(folder) for folder in folders if not (folder / "__init__.py").is_file()) == []


def test_every_shipped_module_says_what_it_is_for() -> None:
    silent = [
        name_of(path)
        for path in python_files(*SHIPPED, "deploy", "bench")
        if path.name != "__init__.py" and not path.read_text().lstrip().startswith(('"""', 'r"""', "#!"))
    ]
    assert silent == []


@pytest.mark.parametrize(("lock", "extras"), [("requirements.lock", ["dev"]), ("requirements-run.lock", [])])
def test_the_locks_fit_the_declared_dependencies(lock: str, extras: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(item for name in extras for item in project["optional-dependencies"][name]),
    ]
    pinned = _pins(ROOT / lock)
    stale = [text for text in wanted if not _fits(Requirement(text), pinned)]
    assert stale == [], f"run `make lock`: {lock} does not fit pyproject.toml"


def _pins(lock: Path) -> dict[str, Version]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock.read_text(), re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in found}


def _fits(requirement: Requirement, pinned: dict[str, Version]) -> bool:
    version = pinned.get(canonicalize_name(requirement.name))
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def test_the_locks_agree() -> None:
    """They are installed into one environment, one after the other: nothing may go back and forth."""
    whole = _pins(ROOT / "requirements.lock")
    for lock in ("requirements-run.lock", "requirements-build.lock"):
        others = {name: version for name, version in _pins(ROOT / lock).items() if whole.get(name) != version}
        assert others == {}, f"run `make lock`: {lock} is no part of requirements.lock"


def test_the_locks_name_no_index_and_hash_everything() -> None:
    for path in sorted(ROOT.glob("requirements*.lock")):
        text = path.read_text()
        assert "://" not in text
        assert text.count("==") <= text.count("--hash=sha256:")


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((ROOT / "deploy/helm/touchline/Chart.yaml").read_text())
    assert {chart["version"], chart["appVersion"]} == {VERSION}


REVISION = re.compile(r'^(revision|down_revision) = "(\w+)"$', re.MULTILINE)


@pytest.mark.parametrize("room", ["backbone", "services/actions", "services/ingest", "services/rules"])
def test_the_migrations_of_a_room_are_one_chain(room: str) -> None:
    """Two that follow the same one are two heads, and no database can be migrated."""
    folder = ROOT / room / "migrations" / "versions"
    said = [REVISION.findall(path.read_text(encoding="utf-8")) for path in folder.glob("*.py")]
    followed = Counter(name for one in said for what, name in one if what == "down_revision")
    heads = {name for one in said for what, name in one if what == "revision"} - followed.keys()
    assert (len(heads), [name for name, times in followed.items() if times > 1]) == (1, [])
