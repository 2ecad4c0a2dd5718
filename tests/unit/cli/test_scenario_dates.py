"""`touchline test` on plays that follow a date: what a demanding author would write, and its must-not twins."""

from pathlib import Path

from services.cli.scenario import run

DOCUMENTS = """
kind: rule
name: renewal
when: {date: {attribute: account.attributes.renewal_date, before: 60d}}
playbook: renewal
---
kind: rule
name: by-hand
when: {threshold: {event: renewal.asked, at_least: 1}}
playbook: renewal
---
kind: playbook
name: renewal
exit_when: [{event: subscription.renewed}, {changed: account.attributes.renewal_date}]
steps:
  - {id: d60, task: {title: Sixty days, key: d60}}
  - wait: {until_date: account.attributes.renewal_date, before: 30d, past: skip}
  - {id: d30, task: {title: Thirty days, key: d30}}
  - wait: {until_date: account.attributes.renewal_date, before: 7d, past: skip}
  - {id: d7, task: {title: Seven days, key: d7}}
"""
TEST = """
load: [all.yaml]
accounts:
  due:    {attributes: {renewal_date: "2026-05-01"}}
  local:  {timezone: Europe/Paris, attributes: {renewal_date: "2026-05-01T09:00"}}
  odd:    {attributes: {renewal_date: "20260501"}}
  moved:  {attributes: {renewal_date: "2026-05-01"}}
  spelt:  {attributes: {renewal_date: "2026-05-01"}}
  late:   {attributes: {renewal_date: "2026-05-01"}}
events:
  - {at: 2026-01-01T00:00:00Z, account: due, type: login}
  - {at: 2026-03-15T00:00:00Z, account: moved, type: account.updated,
     data: {attributes: {renewal_date: "2026-07-20"}}}
  - {at: 2026-03-15T00:00:00Z, account: spelt, type: account.updated,
     data: {attributes: {renewal_date: "2026-05-01T02:00+02:00"}}}
  - {at: 2026-03-20T00:00:00Z, account: odd, type: renewal.asked}
  - {at: 2026-04-26T00:00:00Z, account: late, type: renewal.asked}
until: 2026-06-25T00:00:00Z
expect:
  triggers:
    - {rule: renewal, account: due, at: 2026-03-02T00:00:00Z}
    - {rule: renewal, account: local, at: 2026-03-02T07:00:00Z}
    - {rule: renewal, account: moved, at: 2026-03-02T00:00:00Z}
    - {rule: renewal, account: moved, at: 2026-05-21T00:00:00Z}
    - {rule: renewal, account: spelt, at: 2026-03-02T00:00:00Z}
    - {rule: renewal, account: late, at: 2026-03-02T00:00:00Z}
    - {rule: by-hand, account: odd, at: 2026-03-20T00:00:00Z}
    - {rule: by-hand, account: late, at: 2026-04-26T00:00:00Z}
  actions:
    - {account: due, step: d60, at: 2026-03-02T00:00:00Z}
    - {account: due, step: d30, at: 2026-04-01T00:00:00Z}
    - {account: due, step: d7, at: 2026-04-24T00:00:00Z}
    - {account: local, step: d60, at: 2026-03-02T07:00:00Z}
    - {account: local, step: d30, at: 2026-04-01T07:00:00Z}
    - {account: local, step: d7, at: 2026-04-24T07:00:00Z}
    - {account: moved, step: d60, at: 2026-03-02T00:00:00Z}
    - {account: moved, step: d60, at: 2026-05-21T00:00:00Z}
    - {account: moved, step: d30, at: 2026-06-20T00:00:00Z}
    - {account: spelt, step: d60, at: 2026-03-02T00:00:00Z}
    - {account: spelt, step: d30, at: 2026-04-01T00:00:00Z}
    - {account: spelt, step: d7, at: 2026-04-24T00:00:00Z}
    - {account: late, step: d60, at: 2026-03-02T00:00:00Z}
    - {account: late, step: d30, at: 2026-04-01T00:00:00Z}
    - {account: late, step: d7, at: 2026-04-24T00:00:00Z}
    - {account: late, step: d60, at: 2026-04-26T00:00:00Z}
    - {account: odd, step: d60, at: 2026-03-20T00:00:00Z}
"""


def differences(folder: Path, documents: str) -> list[str]:
    (folder / "all.yaml").write_text(documents)
    (folder / "renewal.test.yaml").write_text(TEST)
    return [
        f"{one.what}: {entry['account']} {entry.get('step', entry.get('rule'))}"
        for one in run(folder / "renewal.test.yaml", None)
        for entry in (*one.missing, *one.unexpected)
    ]


def test_plays_that_follow_a_date(tmp_path: Path) -> None:
    assert differences(tmp_path, DOCUMENTS) == []


def test_the_scenario_breaks_without_either_word(tmp_path: Path) -> None:
    still = DOCUMENTS.replace(", {changed: account.attributes.renewal_date}", "")
    assert differences(tmp_path, still) == ["actions: moved d60"]  # the play of the old date is still open
    hasty = DOCUMENTS.replace(", past: skip", "")
    assert differences(tmp_path, hasty) == [
        "actions: odd d30",
        "actions: odd d7",
        "actions: late d30",
        "actions: late d7",
    ]
