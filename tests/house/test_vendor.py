"""What others made is what is written down, file by file, and nothing lies beside it."""

import hashlib

import pytest

from deploy.vendor import BOOK, ROOT, Package, digest, packages, strangers, write

PACKAGES = packages()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_the_files_are_those_that_are_written_down(package: Package) -> None:
    assert strangers(package) == [], "run `make vendor`"
    here = {path.name for path in (ROOT / package.into).iterdir()}
    assert here == {package.place(file).name for file in package.files}
    assert not here.isdisjoint({"LICENSE", "LICENSE.md"})
    only_tested_with = {"MPL-2.0"} if package.into.startswith("tests/") else set()
    assert package.license in {"Apache-2.0", "MIT", "BSD-0-Clause"} | only_tested_with


def test_another_byte_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    package = PACKAGES[0]
    monkeypatch.setattr("deploy.vendor.ROOT", tmp_path)
    assert strangers(package) == list(package.files), "none of them is there"
    for file in package.files:
        package.place(file).parent.mkdir(parents=True, exist_ok=True)
        package.place(file).write_bytes((ROOT / package.into / file).read_bytes())
    assert strangers(package) == []
    with package.place("LICENSE").open("ab") as changed:
        changed.write(b" ")
    assert strangers(package) == ["LICENSE"]


def test_hashes_are_those_of_browsers_and_npm() -> None:
    """The known value of the empty text, from RFC 6234's test vectors."""
    assert digest(b"", "sha512").startswith(
        "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwv"
    )
    assert len(digest(b"", "sha384")) == len("sha384-") + 4 * hashlib.new("sha384").digest_size // 3


def test_writing_down_changes_nothing_else(tmp_path: object) -> None:
    copy = BOOK.__class__(str(tmp_path)) / "vendor.toml"
    copy.write_text(BOOK.read_text(encoding="utf-8"), encoding="utf-8")
    write(packages(copy), copy)
    assert copy.read_text(encoding="utf-8") == BOOK.read_text(encoding="utf-8")
