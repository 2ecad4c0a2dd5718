"""What rules keeps in memory stays within its bound, also when a save concerns every account."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.rule import RuleIn
from services.rules.engine.account_state import AccountState
from services.rules.engine.processor import PartitionEngine
from services.rules.storage import account_cache
from services.rules.storage.account_cache import BARE_STATE
from tests.services.rules.test_worker import Rules, rules

PAGE, ROOM, MANY = 10, 5, 200
QUIET = {
    "name": "quiet", "status": "active",
    "when": {"absence": {"event": "logout", "for": "3d"}},
}  # fmt: skip


def save(ours: Rules, doc: dict[str, object]) -> None:
    ours.saver.run(lambda conn: ours.saver.put(conn, RuleIn.model_validate(doc), None, "test"))


def test_a_save_that_concerns_every_account_loads_them_a_page_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_cache, "READ_AHEAD", PAGE)
    most, adopted = 0, set()
    adopt = PartitionEngine._adopt

    def counted(self: PartitionEngine, state: AccountState) -> None:
        nonlocal most
        most = max(most, len(self._accounts._states))  # type: ignore[attr-defined]
        adopted.add(state.account)
        adopt(self, state)

    with rules(tmp_path / "many", cache=2 * ROOM * (BARE_STATE + 5_000)) as ours:
        for number in range(MANY):
            ours.post(1, account=f"b{number}")
            if number % PAGE == 0:
                ours.catch_up()
        ours.catch_up()
        monkeypatch.setattr(PartitionEngine, "_adopt", counted)
        save(ours, QUIET)
        ours.catch_up()
        assert adopted == {f"b{number}" for number in range(MANY)}
        assert most <= 3 * PAGE
        ours.post(3, type_="logout", account="b3")
        ours.catch_up()
        save(ours, {**QUIET, "when": {"absence": {"event": "logout", "for": "1d"}}})
        ours.catch_up()  # b3 has another moment now, and is written with it
        task = next(task for task in ours.worker.tasks.values() if task.engine.next_due is not None)
        assert task.engine.next_due == task._accounts.get("b3").due  # type: ignore[union-attr]
        assert len(ours.stored()[0]) == MANY
