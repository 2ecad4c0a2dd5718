"""Texts that the door would refuse, and that other programs put onto the log all the same."""

from schemas.event import rfc3339
from schemas.trigger import TriggerEvent
from tests.services.actions.kit import ACTIONS, TASKS, House
from tests.unit.plays.kit import SECOND, T0, account, book, event


def test_texts_of_other_programs_that_no_column_takes(house: House) -> None:
    """They come by Kafka, past the door. PostgreSQL refused them, and the worker stood still for good."""
    ids = {"x" * 300: "x@acme.test", "n\0l": "n@acme.test", "o": "o\0@acme.test"}
    contacts = [{"id": id_, "email": email} for id_, email in ids.items()]
    house.save(book(steps=[{"task": {"title": "Call"}}, {"email": {"template": "hello", "to": "all"}}]))
    (place,) = house.post(account(owner={"name": "J\0o", "email": "jo@us.test"}, contacts=contacts))
    odd = TriggerEvent(id="e", source="s\0", type="it", time=rfc3339(T0), data={"a\0": "b\0"})
    house.fire(T0, place, id="trg_odd", event=odd, evidence=["e\0"])
    house.settle()
    task, *mails = house.rows(ACTIONS)
    assert task.status == "done"
    assert [row.assignee for row in house.rows(TASKS)] == ["jo@us.test"]
    assert [(mail.contact, mail.recipient, mail.reason) for mail in mails] == [
        ("x" * 256, "x@acme.test", None), ("nl", "n@acme.test", None), ("o", None, "no_address")
    ]  # fmt: skip
    house.post(event("contact.deleted", T0 + SECOND, data={"id": "n\0l"}))
    house.settle()
    assert len(house.rows(ACTIONS)) == 3
    house.post(event("account.deleted", T0 + 2 * SECOND))
    house.settle()
    assert [*house.rows(ACTIONS), *house.rows(TASKS)] == []
    assert house.waiting() == 0
