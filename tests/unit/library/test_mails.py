"""Every mail of the library reads well: with all that we know of a contact, and with next to nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest

from services.actions.rendering.compose import answer
from services.actions.rendering.model import Body, Mail, MailJob, TextJob
from tests.unit.library.files import JSON, LIBRARY, ROWS, documents, playbook_of

TEMPLATES = [template for path in sorted(LIBRARY.glob("*/templates.yaml")) for template in documents(path)]
HEADER = 78  # characters of a subject that most programs show
KNOWN: JSON = {
    "account": {
        "id": "acme",
        "name": "Acme & Sons",
        "tier": "low",
        "attributes": {"renewal_date": "2026-06-30", "seats": 10, "health": 40},
    },
    "contact": {"id": "ann", "name": "Ann Lee", "email": "ann@acme.test", "roles": [], "attributes": {}},
    "owner": {"name": "Jo Park", "email": "jo@us.test"},
}
BARE: JSON = {
    "account": {"id": "acme", "name": None, "tier": "low", "attributes": {"renewal_date": "2026-06-30"}},
    "contact": {"id": "ann", "name": None, "email": "ann@acme.test", "roles": [], "attributes": {}},
    "owner": {"name": None, "email": None},
}
UNFILLED = re.compile(r"None|\{\{|\{%|[Ll]orem|\[[A-Z ]+\]")


def _context(known: JSON) -> JSON:
    event = {"data": {"score": 6, "comment": "Too many clicks."}}
    trigger = {
        "rule": "expansion-seats",
        "key": "88",
        "value": 0.2,
        "event": event,
        "figures": {"recent": 112, "baseline": 280},
    }
    more = {"tier": "low", "now": "2026-01-01T09:00:00Z", "unsubscribe_url": "https://us.test/u/1"}
    return {**known, **more, "trigger": trigger}


def _mail(template: JSON, known: JSON) -> Mail:
    job = MailJob(
        subject=template["subject"], markdown=template["markdown"], context=_context(known), sent_by="Jo Park"
    )
    mail = answer(job)
    assert isinstance(mail, Mail), mail
    return mail


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template["name"])
def test_a_mail_greets_says_what_to_do_and_is_signed_by_the_owner(template: JSON) -> None:
    mail = _mail(template, KNOWN)
    letter = mail.text.split("\n-- \n")[0].strip().split("\n\n")
    assert letter[0] == "Hi Ann,"
    assert letter[-1] == "Jo Park"
    assert len(letter) >= 4  # greeting, what we saw, what to do, name
    assert letter[1][0].isupper() or letter[1][0].isdigit()


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template["name"])
@pytest.mark.parametrize("known", [KNOWN, BARE], ids=["known", "bare"])
def test_a_mail_has_both_parts_and_nothing_unfilled(template: JSON, known: JSON) -> None:
    mail = _mail(template, known)
    assert len(mail.subject) <= HEADER
    assert not UNFILLED.search(mail.subject + mail.text)
    assert "<html" in mail.html
    assert "  " not in mail.subject


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in _strings(item)]
    return [value] if isinstance(value, str) and "{" in value else []


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("known", [KNOWN, BARE], ids=["known", "bare"])
def test_titles_and_bodies_of_tasks_can_be_filled_in(row: str, known: JSON) -> None:
    strings = _strings(playbook_of(row)["steps"])
    filled = answer(TextJob(body=strings, context=_context(known)))
    assert isinstance(filled, Body), filled
