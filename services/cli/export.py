"""`touchline export`: writes everything that a server has as files for `apply`."""

import re
from pathlib import Path

from backbone.errors import ConfigurationError
from backbone.yaml.writing import yaml_text
from schemas.fields import NAME
from services.cli.client import Client
from services.cli.server_documents import PATHS, SINGLE, Item, Key, as_filed, everything
from services.cli.terminal import err, out


def export(folder: Path) -> int:
    """Write everything the server has into `folder`, one file a document. Returns the exit status.

    Raises `ConfigurationError` if the folder cannot be written to.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is a file: export takes a folder, and writes one file a document")
    client = Client()
    held = everything(client, {*PATHS, "tiers"} - {"source"})  # ingest may be behind another address
    # the default too, where nobody has saved any
    held.documents.setdefault(("tiers", "tiers"), client.call("GET", f"/v1/{SINGLE['tiers']}"))
    files = _files(folder, held.documents)
    try:
        for path, (kind, item) in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yaml_text({"kind": kind, **as_filed(kind, item)}), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{error.filename or folder}: {error.strerror}") from None
    out.print(f"{len(files)} documents written to {folder}", markup=False)
    for kind, why in held.unseen.items():
        _warn(f"{kind} left out: {why}")
    for other in sorted(_others(folder, set(files))):
        _warn(f"{other}: nothing of this name is on the server; apply would create it anew")
    return 0


def _warn(what: str) -> None:
    err.print(f"warning: {what}", style="yellow", markup=False)


def _files(folder: Path, held: dict[Key, Item]) -> dict[Path, tuple[str, Item]]:
    """A path for every document. Names that differ only in capitals get a number, since some disks do not
    tell them apart."""
    files: dict[Path, tuple[str, Item]] = {}
    taken: set[str] = set()
    for (kind, name), item in held.items():
        if not re.fullmatch(NAME, name):  # it becomes a path
            raise ConfigurationError(f"the server has a {kind} whose name is none: {name[:100]!r}")
        stem = f"{PATHS[kind]}/{name}" if kind in PATHS else name
        path, count = stem, 1
        while path.casefold() in taken:
            count += 1
            path = f"{stem}~{count}"
        taken.add(path.casefold())
        files[folder / f"{path}.yaml"] = kind, item
    return files


def _others(folder: Path, written: set[Path]) -> set[Path]:
    found = {path for kind in PATHS.values() for path in (folder / kind).glob("*.yaml")}
    return found - written
