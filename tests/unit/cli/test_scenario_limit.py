"""A scenario with a limit: the breaker pauses the playbook, and what goes beyond is held."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.scenario import run

NAMES = [f"a{n}" for n in range(30)]
RULE = {
    "kind": "rule", "name": "spike", "playbook": "call",
    "when": {"threshold": {"event": "ticket", "within": "1d", "at_least": 1}},
}  # fmt: skip
BOOK: dict[str, Any] = {"kind": "playbook", "name": "call", "steps": [{"task": {"title": "Call"}}]}
THREE = {"plays": 3, "within": "1h"}


def fits(folder: Path, begun: int, limit: Any, book: dict[str, Any]) -> bool:
    """Whether so many plays begin, and the others are held by the breaker."""
    (folder / "documents.yaml").write_text(yaml.safe_dump_all([RULE, BOOK | book]))
    owner = {"tier": "low", "owner": {"email": "jo@us.test"}}
    test = {
        "load": ["documents.yaml"],
        "accounts": dict.fromkeys(NAMES, owner),
        "events": [{"at": "2026-01-01T00:00:00Z", "account": name, "type": "ticket"} for name in NAMES],
        "until": "2026-01-02T00:00:00Z",
        "expect": {
            "plays": [{"account": name, "status": "finished"} for name in NAMES[:begun]]
            + [{"account": name, "status": "held", "reason": "breaker"} for name in NAMES[begun:]],
            "actions": [{"account": name, "channel": "task"} for name in NAMES[:begun]],
        },
    }
    file = folder / "call.test.yaml"
    file.write_text(yaml.safe_dump({**test, **({} if limit is None else {"limit": limit})}))
    return run(file, None) == []


@pytest.mark.parametrize(
    ("begun", "limit", "book"),
    [
        (30, None, {}),  # in a test there is no default
        (3, THREE, {}),
        (3, None, {"limit": THREE}),
        (30, THREE, {"limit": None}),
        (30, {"plays": 30, "within": "1h"}, {}),
    ],
)
def test_so_many_begin_and_the_others_are_held(tmp_path: Path, begun: int, limit: Any, book: Any) -> None:
    assert fits(tmp_path, begun, limit, book)
    assert not fits(tmp_path, begun - 1, limit, book)
