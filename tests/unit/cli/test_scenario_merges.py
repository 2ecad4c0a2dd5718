"""Merges in `touchline test`: the same engine and step machine, so the same outcome as in earnest."""

from pathlib import Path

from services.cli.scenario import run

DOCUMENTS = """
kind: template
name: hello
subject: Hello
markdown: Hello {{ contact.name }}
---
kind: playbook
name: greet
steps: [{wait: 2d}, {email: {template: hello}}]
---
kind: rule
name: twice
when: {threshold: {event: login, within: 30d, at_least: 2}}
playbook: greet
"""
TEST = """
load: [all.yaml]
accounts:
  old: {contacts: [{id: ann, email: ann@acme.test, name: Ann}]}
  new: {name: Acme}
events:
  - {at: 2026-01-01T00:00:00Z, account: old, type: login, repeat: 2, every: 1h}
  - {at: 2026-01-02T00:00:00Z, account: old, type: account.merged, data: {into: new}}
  - {at: 2026-01-03T00:00:00Z, account: old, type: login}
  - {at: 2026-01-04T00:00:00Z, account: new, type: login}
until: 2026-02-01T00:00:00Z
expect:
  triggers:
    - {rule: twice, account: old}
    - {rule: twice, account: new, at: 2026-01-04T00:00:00Z}
  actions:
    - {channel: email, account: new, recipient: ann@acme.test, at: 2026-01-06T00:00:00Z}
"""


def test_a_merge_in_a_scenario(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(DOCUMENTS)
    file = tmp_path / "merge.test.yaml"
    file.write_text(TEST)
    assert run(file, None) == []
    file.write_text(TEST.replace("account: new, type: login", "account: other, type: login"))
    assert run(file, None) != []
