"""Erasure: nothing of an account or contact stays in the tables, however close together everything came."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from backbone.log import EVENTS, TRIGGERS, Entry
from schemas.event import Event, encode, from_microseconds
from schemas.trigger import TriggerRecord
from tests.services.rules.test_worker import MINUTE, T0, Rules, rules

_told = msgspec.json.Decoder(TriggerRecord).decode


def post(ours: Rules, *events: tuple[str, str]) -> None:
    """Events of the account acme, of a type and a contact, in one batch."""
    entries = []
    for type_, contact in events:
        ours.posted += 1
        event = Event(
            id=f"e{ours.posted}", source="t", type=type_, account="acme", contact=contact or None,
            time=from_microseconds(T0 + ours.posted * MINUTE),
        )  # fmt: skip
        entries.append(Entry(key="acme", value=encode(event)))
    ours.log.append(EVENTS, entries).result(timeout=10)


def relayed(ours: Rules) -> list[str]:
    """The accounts of the triggers on the log."""
    records = [_told(r.value) for p in range(2) for r in ours.log.read(TRIGGERS, p, 0, 1_000)]
    return [record.trigger.account for record in records if record.trigger is not None]


LOGINS = [("login", "ann")] * 3


@pytest.mark.parametrize("gone", [("account.deleted", ""), ("contact.deleted", "ann")])
@pytest.mark.parametrize("together", [True, False])
def test_a_trigger_decided_before_an_erasure_goes_out_and_leaves_nothing(
    tmp_path: Path, gone: tuple[str, str], together: bool
) -> None:
    with rules(tmp_path / "gone") as ours:
        for batch in [[*LOGINS, gone]] if together else [LOGINS, [gone]]:
            post(ours, *batch)
            ours.catch_up()
        assert relayed(ours) == ["acme"]
        assert ours.stored()[1] == []
        assert (ours.stored()[0] == {}) == (gone[0] == "account.deleted")


def test_what_is_decided_after_an_erasure_in_the_same_batch_stays(tmp_path: Path) -> None:
    with rules(tmp_path / "anew") as ours:
        post(ours, *LOGINS, ("account.deleted", ""), *LOGINS)
        ours.catch_up()
        assert relayed(ours) == ["acme"] * 2
        assert len(ours.stored()[1]) == 1


def test_an_erased_contact_takes_no_other_triggers_along(tmp_path: Path) -> None:
    with rules(tmp_path / "other") as ours:
        post(ours, *[("login", "")] * 3, ("contact.deleted", "ann"), ("contact.deleted", ""))
        ours.catch_up()
        assert len(ours.stored()[1]) == 1
