"""Texts that the door would refuse, and that other programs put onto the log all the same."""

from schemas.event import rfc3339
from schemas.trigger import TriggerEvent
from tests.services.actions.kit import ACTIONS, TASKS, House
from tests.unit.plays.kit import SECOND, T0, account, book, event


def test_texts_of_other_programs_that_no_column_takes(house: House) -> None:
    """They come by Kafka, past the door. PostgreSQL refused them, and the worker stood still for good."""
    contacts = [{"id": "x" * 300, "email": "x@acme.test"}, {"id": "n\0l", "email": "n\0@acme.test"}]
    house.save(book(steps=[{"task": {"title": "Call"}}, {"email": {"template": "hello", "to": "all"}}]))
    (place,) = house.post(account(owner={"name": "Jo", "email": "j\0o@us.test"}, contacts=contacts))
    odd = TriggerEvent(id="e", source="s\0", type="it", time=rfc3339(T0), data={"a\0": "b\0"})
    house.fire(T0, place, id="trg_odd", event=odd, evidence=["e\0"])
    house.settle()
    task, *mails = house.rows(ACTIONS)
    assert task.status == "done"
    assert [row.assignee for row in house.rows(TASKS)] == ["jo@us.test"]
    assert [(mail.contact, mail.recipient) for mail in mails] == [
        ("x" * 256, "x@acme.test"), ("nl", "n@acme.test")
    ]  # fmt: skip
    house.post(event("contact.deleted", T0 + SECOND, data={"id": "n\0l"}))
    house.settle()
    assert len(house.rows(ACTIONS)) == 2
    house.post(event("account.deleted", T0 + 2 * SECOND))
    house.settle()
    assert [*house.rows(ACTIONS), *house.rows(TASKS)] == []
    assert house.waiting() == 0
