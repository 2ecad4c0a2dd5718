"""`touchline test` shows each reader's variant, and the brand that is loaded."""

from pathlib import Path

from services.cli.scenario import renderer, run

EXAMPLE = Path(__file__).parents[3] / "examples/brand.yaml"
DOCUMENTS = """
kind: rule
name: due
when: {threshold: {event: invoice.overdue, at_least: 1}}
playbook: due
---
kind: playbook
name: due
steps: [{email: {template: due, to: all}}]
---
kind: template
name: due
subject: "{{ brand.name }}: {{ trigger.event.data.amount | money('EUR') }} due on {{ trigger.event.data.on | date }}"
markdown: Please pay.
variants:
  fr:
    subject: "{{ brand.name }} : {{ trigger.event.data.amount | money('EUR') }}, {{ trigger.event.data.on | date }}"
    markdown: Merci de payer.
"""
TEST = """
load: [all.yaml, {brand}]
accounts:
  acme:
    contacts:
      - {{id: ann, email: ann@acme.test, locale: fr-BE}}
      - {{id: bob, email: bob@acme.test, locale: de}}
      - {{id: cat, email: cat@acme.test}}
events:
  - {{at: 2026-01-01T09:00:00Z, account: acme, type: invoice.overdue, data: {{amount: 1200.5, on: "2026-01-31"}}}}
expect:
  actions:
    - {{recipient: ann@acme.test, subject: "Acme : 1 200,50 €, 31 janv. 2026"}}
    - {{recipient: bob@acme.test, subject: "Acme: 1.200,50 € due on 31.01.2026"}}
    - {{recipient: cat@acme.test, subject: "Acme: €1,200.50 due on {last}, 2026"}}
"""


def test_each_reader_gets_the_fitting_variant(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(DOCUMENTS)
    (tmp_path / "brand.yaml").write_text(EXAMPLE.read_text())
    file = tmp_path / "due.test.yaml"
    with renderer() as render:
        file.write_text(TEST.format(brand="brand.yaml", last="Jan 31"))
        assert run(file, render) == []
        file.write_text(TEST.format(brand="brand.yaml", last="Jan 30"))
        (wrong,) = run(file, render)
        assert [one["subject"] for one in wrong.missing] == ["Acme: €1,200.50 due on Jan 30, 2026"]
