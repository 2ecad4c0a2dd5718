"""Files of other projects in the repository: fetched from npm, checked, and listed in `vendor.toml`.

`python -m deploy.vendor` fetches the listed versions and fails if a package or one of its files has changed;
`--newest` takes the newest versions and lists them. It needs npm, and nothing else does.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "vendor.toml"


class Wrong(Exception):
    """A package, or a file of one, is not the one that is listed."""


@dataclass(frozen=True)
class Package:
    """One npm package: `files` are those we keep, by their path in it, with their hash."""

    name: str
    version: str
    license: str
    integrity: str  # of the whole package, as npm tells it
    into: str  # a folder of the repository
    files: Mapping[str, str]

    def place(self, file: str) -> Path:
        """Where a file of it lies here."""
        return ROOT / self.into / PurePosixPath(file).name


def packages(book: Path = BOOK) -> list[Package]:
    """The listed packages."""
    return [
        Package(name=name, **said) for name, said in tomllib.loads(book.read_text(encoding="utf-8")).items()
    ]


def digest(content: bytes, algorithm: str) -> str:
    """A hash as npm and browsers write it, such as `sha384-…`."""
    return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, content).digest()).decode()}"


def strangers(package: Package) -> list[str]:
    """The files that are missing here, or differ from the listed ones."""
    return [
        file
        for file, wanted in package.files.items()
        if not package.place(file).is_file() or digest(package.place(file).read_bytes(), "sha384") != wanted
    ]


def newest(package: Package) -> Package:
    """The same package in its newest version, the hashes of its files not known yet."""
    said = _npm("view", package.name, "version", "license", "dist.integrity", "--json")
    found = json.loads(said)
    return replace(
        package,
        version=found["version"],
        license=found["license"],
        integrity=found["dist.integrity"],
        files=dict.fromkeys(package.files, ""),
    )


def fetch(package: Package) -> Package:
    """Put its files here. Returns the package with their hashes. Raises `Wrong`."""
    with tempfile.TemporaryDirectory() as folder:
        said = _npm("pack", f"{package.name}@{package.version}", "--json", "--pack-destination", folder)
        archive = Path(folder) / json.loads(said)[0]["filename"]
        if digest(archive.read_bytes(), "sha512") != package.integrity:
            raise Wrong(f"{package.name} {package.version} is not the package that vendor.toml means")
        files = _unpacked(archive, package)
    hashes = {file: digest(content, "sha384") for file, content in files.items()}
    other = [file for file, wanted in package.files.items() if wanted and wanted != hashes[file]]
    if other:
        raise Wrong(f"{package.name} {package.version}: other than in vendor.toml: {', '.join(other)}")
    for file, content in files.items():
        package.place(file).parent.mkdir(parents=True, exist_ok=True)
        package.place(file).write_bytes(content)
    return replace(package, files=hashes)


def _unpacked(archive: Path, package: Package) -> dict[str, bytes]:
    found = {}
    with tarfile.open(archive) as tar:
        for file in package.files:
            member = tar.extractfile(f"package/{file}")
            if member is None:
                raise Wrong(f"{package.name} {package.version} has no file {file}")
            found[file] = member.read()
    return found


def write(found: list[Package], book: Path = BOOK) -> None:
    """Write the list, under the same head."""
    head = book.read_text(encoding="utf-8").partition("\n[")[0]
    parts = [head]
    for package in found:
        fields = ("version", "license", "integrity", "into")
        lines = [f'["{package.name}"]', *(f'{name} = "{getattr(package, name)}"' for name in fields), ""]
        lines += [
            f'["{package.name}".files]',
            *(f'"{file}" = "{said}"' for file, said in package.files.items()),
            "",
        ]
        parts.append("\n".join(lines))
    book.write_text("\n".join(parts), encoding="utf-8")


def _npm(*words: str) -> str:
    try:
        done = subprocess.run(["npm", *words], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise Wrong("needs npm, which is not here") from None
    except subprocess.CalledProcessError as error:
        raise Wrong(f"npm {words[0]} failed: {error.stderr.strip()[-500:]}") from None
    return done.stdout


def main() -> int:
    """Returns the exit status: 0 if every file is here and as listed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--newest", action="store_true", help="take the newest versions and write them down")
    wanted = parser.parse_args()
    try:
        found = [fetch(newest(package) if wanted.newest else package) for package in packages()]
    except Wrong as error:
        print(f"vendor: {error}", file=sys.stderr)
        return 1
    write(found)
    for package in found:
        print(f"{package.name} {package.version}: {len(package.files)} files in {package.into}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
