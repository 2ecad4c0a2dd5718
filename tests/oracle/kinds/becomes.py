"""becomes: an update after which a condition holds that did not hold before."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from tests.oracle import profile, rule_strategies, windows
from tests.oracle.conditions import holds
from tests.oracle.history import Arrived
from tests.oracle.kinds.base import Hold, Kind, Part, Standing, Story
from tests.oracle.windows import Scene, Subject

JSON = dict[str, Any]


class Becomes(Kind):
    """A condition that an update makes true."""

    fires = Story(
        {"is": {"account.attributes.status": "churned"}},
        (
            ("01-01T09:00", "account.updated", {"attributes": {"status": "live"}}),
            ("01-02T09:00", "account.updated", {"attributes": {"status": "churned"}}),
        ),
        "01-03T00:00",
    )
    does_not_fire = fires._replace(events=fires.events[:1])

    def rules(self) -> st.SearchStrategy[JSON]:
        return rule_strategies.becomes()

    def default_cooldown(self, body: JSON, tier: str | None) -> str:
        return "0s"

    def at_event(self, part: Part, event: Arrived, before: JSON | None) -> Iterator[tuple[Subject, Hold]]:
        if event.type not in ("account.updated", "contact.updated"):
            return
        key = windows.key_of(part.rule, event)
        if part.rule.get("by") and key is None:
            return
        for contact in list(part.view.get("contacts", {})) if part.per_contact else [event.contact]:
            if _is(part.body, part.view, contact) and not (
                _knows(part, before, contact) and before is not None and _is(part.body, before, contact)
            ):
                yield (contact if part.per_contact else None, key), Hold(event.time, event, False)

    def stands(self, scene: Scene, now: int) -> Standing:
        holds = _is(scene.body, scene.view, scene.subject[0])
        return Standing(holds, Fraction(holds))


def _is(body: JSON, account: JSON, contact: str | None) -> bool:
    return holds(body["is"], {"account": account, "contact": profile.contact_view(account, contact)})


def _knows(part: Part, before: JSON | None, contact: str | None) -> bool:
    """Whether the condition had a value before: the account was known, and in contact scope the contact too."""
    if before is None:
        return False
    return not part.per_contact or contact in before.get("contacts", {})
