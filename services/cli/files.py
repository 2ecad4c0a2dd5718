"""`touchline apply` and `touchline export`: rules, playbooks and their company as files (contract, section 10).

All or nothing: everything is checked here first, references included; should the server refuse a document all the
same, what was written before it is put back.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from schemas.files import KINDS
from schemas.playbook import PlaybookIn
from services.cli.checking import PATHS, check, check_together, problems, without_added
from services.cli.client import ApiError, Client
from services.cli.documents import Document, Problem, Problems, find, load

_STYLE = {"created": "green", "updated": "yellow", "unchanged": "dim"}

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Change:
    """What applying a document would do; `before` is what the server has."""

    document: Document
    before: dict[str, Any] | None

    @property
    def word(self) -> str:
        """`created`, `updated` or `unchanged`."""
        if self.before is None:
            return "created"
        return "unchanged" if comparable(self.document) == self._now() else "updated"

    def difference(self) -> str:
        """A unified difference from what the server has."""
        old = _yaml(self._now()) if self.before is not None else ""
        new = _yaml(comparable(self.document))
        lines = difflib.unified_diff(
            old.splitlines(),
            new.splitlines(),
            "on the server",
            str(self.document.source.path),
            lineterm="",
            n=2,
        )
        return "\n".join(lines)

    def _now(self) -> dict[str, Any]:
        if self.before is None:
            return {}
        kept = without_added(self.before)
        if self.document.kind == "rule" and "status" not in self.document.body:
            kept.pop("status", None)  # a rule without a status keeps the one it has
        return normal(self.document.kind, kept)


def apply(paths: Sequence[Path], *, dry_run: bool = False) -> int:
    """Bring the server to what the files say; the exit status. Errors go to standard error."""
    files = find(paths)
    if not files:
        err.print(f"no YAML files under {', '.join(map(str, paths))}", style="red")
        return 1
    try:
        documents = load(files)
        client = Client()
        changes = [Change(document, _on_server(client, document)) for document in documents]
        changed = [change.document for change in changes if change.word != "unchanged"]
        concerned = documents if dry_run else changed
        refused, doubts = check(client, concerned)
        refused += _unknown(client, documents)
        if refused:
            raise Problems(refused)
        doubts += check_together(client, documents, concerned)
        if dry_run:
            _show(changes)
        else:
            _write(client, changes)
        for doubt in doubts:
            err.print(f"warning: {doubt}", style="yellow", markup=False)
    except Problems as error:
        for problem in error.problems:
            err.print(str(problem), style="red", markup=False)
        err.print(f"nothing was applied: {len(error.problems)} problem(s)", style="bold red")
        return 1
    return 0


def export(folder: Path) -> int:
    """Write everything the server has into `folder`, one file a document; the exit status."""
    client = Client()
    count = 0
    for kind, path in PATHS.items():
        for item in client.items(f"/v1/{path}"):
            _dump(folder / path / f"{item['name']}.yaml", kind, item)
            count += 1
    _dump(folder / "tiers.yaml", "tiers", client.call("GET", "/v1/tiers"))
    out.print(f"{count + 1} documents written to {folder}")
    return 0


def normal(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """A document in one form, whichever way it was written."""
    model = KINDS[kind].model_validate(body)
    result: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    result.pop("secret", None)  # shown once and never again, so it cannot be compared
    result.pop("backfill", None)  # what to do when it is activated, no part of what it then is
    return result


def comparable(document: Document) -> dict[str, Any]:
    """What of a document can be held against the server's."""
    return normal(document.kind, document.body)


def _on_server(client: Client, document: Document) -> dict[str, Any] | None:
    if document.kind == "tiers":
        tiers = client.call("GET", "/v1/tiers")
        return tiers if tiers.get("version") else None
    return client.find(f"/v1/{PATHS[document.kind]}/{document.name}")


def _unknown(client: Client, documents: Sequence[Document]) -> list[Problem]:
    """The templates and endpoints that playbooks name and that are neither here nor there."""
    here = {(document.kind, document.name) for document in documents}
    problems: list[Problem] = []
    for document in documents:
        if not isinstance(document.model, PlaybookIn):
            continue
        for kind, name, field in document.model.references():
            if (kind, name) not in here and client.find(f"/v1/{PATHS[kind]}/{name}") is None:
                problems.append(document.problem(field, f"there is no {kind} {name}"))
    return problems


def _show(changes: Iterable[Change]) -> None:
    for change in changes:
        _say(change, change.word)
        if change.word != "unchanged":
            out.print(change.difference(), markup=False)


def _write(client: Client, changes: Iterable[Change]) -> None:
    done: list[Change] = []
    for change in changes:
        if change.word != "unchanged":
            try:
                _put(client, change.document.kind, change.document.name, change.document.body)
            except ApiError as error:
                raise Problems([*problems(change.document, error), *_put_back(client, done)]) from None
            done.append(change)
        _say(change, change.word)


def _put(client: Client, kind: str, name: str, body: dict[str, Any]) -> Any:
    return client.call("PUT", "/v1/tiers" if kind == "tiers" else f"/v1/{PATHS[kind]}/{name}", body)


def _put_back(client: Client, done: Sequence[Change]) -> list[Problem]:
    """Undo what was written; what could not be undone."""
    left: list[Problem] = []
    for change in reversed(done):
        kind, name = change.document.kind, change.document.name
        try:
            if change.before is not None:
                _put(client, kind, name, without_added(change.before))
            elif kind != "tiers":
                client.call("DELETE", f"/v1/{PATHS[kind]}/{name}")
        except ApiError as error:
            left.append(change.document.problem("", f"was applied and cannot be put back: {error}"))
    return left


def _say(change: Change, word: str) -> None:
    document = change.document
    out.print(f"[{_STYLE[word]}]{word:9}[/] {document.kind} {document.name}")


def _dump(path: Path, kind: str, item: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_yaml({"kind": kind, **without_added(item)}), encoding="utf-8")


class _Dumper(yaml.SafeDumper):
    """Long texts as blocks, no aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
