"""Plans what applying files to a server would do: each change, the summary, and what needs a
confirmation. Changes nothing."""

import difflib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from backbone.terminal_text import one_line
from backbone.yaml.writing import yaml_text
from services.cli.documents import Document
from services.cli.server_documents import (
    PATHS,
    SINGLE,
    STAYING,
    Item,
    Key,
    ServerDocument,
    as_filed,
    holds_secrets,
    label,
    normal,
)

# not of a brand, which changes how mails look, and not who gets them; nor of mails to colleagues
ASKED = frozenset(SINGLE) - {"brand", "task-mails"}
WORDS = ("created", "updated", "unchanged", "deleted")


@dataclass(frozen=True)
class PlannedChange:
    """What applying a document would do; `before` is the server's document.

    `other_secrets`: the file has secrets that are not those of the server, which only the server can tell.
    """

    document: Document
    before: Item | None
    other_secrets: bool = False

    @property
    def label(self) -> str:
        """Kind and name."""
        return label(self.document.kind, self.document.name)

    @property
    def word(self) -> str:
        """`created`, `updated` or `unchanged`."""
        if self.before is None:
            return "created"
        return "unchanged" if self._then() == self._now() and not self.other_secrets else "updated"

    @property
    def secrets_unseen(self) -> bool:
        """Whether only the server can tell if it would change anything."""
        return self.word == "unchanged" and holds_secrets(self.document.kind, self.document.body)

    @property
    def can_be_deleted(self) -> bool:
        """Whether documents of this kind can be deleted."""
        return self.document.kind not in SINGLE

    def difference(self) -> str:
        """A unified diff from the server's document."""
        old = yaml_text(self._now()) if self.before is not None else ""
        lines = difflib.unified_diff(
            old.splitlines(),
            yaml_text(self._then()).splitlines(),
            "on the server",
            str(self.document.source.path),
            lineterm="",
            n=2,
        )
        return "\n".join(
            [*lines, *(["the secrets are not those on the server"] if self.other_secrets else [])]
        )

    def status(self) -> str:
        """The status of a rule after it; empty for other kinds."""
        if self.document.kind != "rule":
            return ""
        return str(self.document.body.get("status") or (self.before or {}).get("status") or "draft")

    def turn(self) -> str:
        """The change of status, such as `paused → active`; empty: none."""
        before = (self.before or {}).get("status")
        return f"{before} → {self.status()}" if before and self.status() not in {"", before} else ""

    def question(self) -> str:
        """The question to confirm; empty: none."""
        if self.turn() == "paused → active":
            return f"{self.label}: {self.turn()}"
        if self.document.kind in ASKED and self.word == "updated":
            by = (self.before or {}).get("changed_by")
            return f"{self.label}: replaces version {(self.before or {}).get('version')}, saved by {one_line(str(by))}"
        return ""

    def _then(self) -> Item:
        return normal(self.document.kind, self.document.body)

    def _now(self) -> Item:
        if self.before is None:
            return {}
        kept = as_filed(self.document.kind, self.before)
        for name in STAYING.get(self.document.kind, ()):
            if name not in self.document.body:
                kept.pop(name, None)
        return normal(self.document.kind, kept)


class Plan:
    """The changes in the order in which they can be written, and what else the server has.

    `alone`: documents that only the server has, in an order in which they can be deleted: those that refer to
    others first. The single documents (tiers, policy, aliases) are not among them, as there is always one.
    """

    def __init__(self, documents: Sequence[Document], found: ServerDocument, *, prune: bool = False) -> None:
        here = {(document.kind, document.name) for document in documents}
        held = found.documents
        self.held, self.unseen, self.prune = held, found.unseen, prune
        self.changes = [
            PlannedChange(document, held.get((document.kind, document.name))) for document in documents
        ]
        self.alone = [key for kind in PATHS for key in sorted(held) if key[0] == kind and key not in here]

    def compare_secrets(self, differ: Callable[[Document], bool]) -> None:
        """Ask the server about the changes that only it can tell."""
        self.changes = [
            replace(change, other_secrets=True)
            if change.secrets_unseen and differ(change.document)
            else change
            for change in self.changes
        ]

    def kept(self) -> dict[Key, Item]:
        """The documents that the server has now and will still have afterwards."""
        gone = set(self.alone) if self.prune else set()
        return {key: item for key, item in self.held.items() if key not in gone}

    def questions(self) -> list[str]:
        """All questions to confirm."""
        asked = [question for change in self.changes if (question := change.question())]
        if self.prune:
            for kind, path in PATHS.items():
                names = [name for one, name in self.alone if one == kind]
                asked += [f"deletes {len(names)} {path}: {', '.join(names)}"] if names else []
        return asked

    def summary(self, *, deleted: int) -> str:
        """Such as `1 updated, 118 unchanged; 27 drafts, next: …`."""
        counts = Counter(change.word for change in self.changes) + Counter(deleted=deleted)
        said = ", ".join(f"{counts[word]} {word}" for word in WORDS if counts[word])
        drafts = sum(change.status() == "draft" for change in self.changes)
        if not drafts:
            return said
        rules, they = ("1 draft", "it") if drafts == 1 else (f"{drafts} drafts", "they")
        next_ = f"POST /v1/rules/NAME/shadow, to see what {they} would do; then POST …/activate"
        return f"{said}; {rules}, next: {next_}"
