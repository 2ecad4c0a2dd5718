"""Rules that answer Touchline's own mails: bounded in `touchline test`, and so in earnest."""

from pathlib import Path

import pytest

from services.cli.scenario import World, load, read_scenario
from services.cli.scenario_world import arrivals

DOCUMENTS = """
kind: template
name: hello
subject: Hello
markdown: Hello
---
kind: playbook
name: greet
steps: [{email: {template: hello}}]
---
kind: playbook
name: thank
steps: [{wait: 1d}, {email: {template: hello}}]
---
kind: rule
name: first
when: {threshold: {event: login, at_least: 1}}
cooldown: 0s
playbook: greet
"""
TEST = """
load: [all.yaml]
accounts:
  acme: {contacts: [{id: ann, email: ann@acme.test}]}
events:
  - {at: 2026-01-01T00:00:00Z, account: acme, type: login, data: {depth: 3}, repeat: 2, every: 20d}
  - {at: 2026-01-01T00:30:00Z, account: clockwork, type: tick, repeat: 200, every: 6h}
until: 2026-03-01T00:00:00Z
expect: {}
"""
AGAIN = """
---
kind: rule
name: again
when: {threshold: {event: touchline.email.sent, at_least: 1}}
cooldown: 0s
playbook: PLAYBOOK
"""
CHAINED = """
---
kind: rule
name: one
when: {threshold: {event: touchline.email.sent, where: {data.playbook: greet}, at_least: 1}}
cooldown: 0s
playbook: thank
---
kind: rule
name: two
when: {absence: {event: never, since: {event: touchline.play.finished, where: {data.playbook: thank}}, for: 1d}}
cooldown: 0s
playbook: greet
"""


@pytest.mark.parametrize(
    ("more", "mails"),
    [
        ("", 2),
        (AGAIN.replace("PLAYBOOK", "thank"), 2 * (1 + 2)),  # at the depths 1 and 2; at 3 it stops
        (CHAINED, 2 * 3),  # greet at 0, thank at 1, greet at 2, and then no more
    ],
)
def test_mails_that_lead_to_mails_end(tmp_path: Path, more: str, mails: int) -> None:
    (tmp_path / "all.yaml").write_text(DOCUMENTS + more)
    (tmp_path / "loop.test.yaml").write_text(TEST)
    world = World(load([tmp_path / "all.yaml"]), None)
    for event in arrivals(read_scenario(tmp_path / "loop.test.yaml")):
        world.feed(event)
    assert len(world.store.actions) == mails
    assert {action.channel for action in world.store.actions.values()} == {"email"}
