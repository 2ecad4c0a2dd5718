"""What others' actions, tasks and mail files say of an erased contact."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from schemas.profile import Contact, Profile
from services.actions import tables
from services.actions.channels.email.eml_files import file_name
from services.actions.channels.email.erased_files import AGAIN_US, KEPT_US, ErasedMailFiles
from services.actions.plays.template_context import account_document, contact_document
from services.actions.storage.erasure import ToErase, erase
from services.actions.storage.mentions import INSTEAD
from tests.services.actions.kit import ACTIONS, TASKS, House
from tests.unit.plays.kit import T0

ANN = Contact(id="ann", email="ann@acme.test", name="Ann Lee")
BOB = Contact(id="bob", email="bob@acme.test", name="Bob")
PERSON = ToErase("acme", "ann", ["ann@acme.test"], "Ann Lee")


def action(house: House, name: str, **fields: Any) -> None:
    row = {
        "id": name, "partition": 0, "play": "ply_1", "playbook": "p", "account": "acme", "channel": "webhook",
        "step": "0", "topic": "t", "status": "done", "created_at": T0, "due_at": T0,
    }  # fmt: skip
    with house.db.write() as conn:
        conn.execute(insert(ACTIONS), [row | fields])


def erased(house: House, erasure: ToErase = PERSON) -> None:
    with house.db.write() as conn:
        erase(conn, erasure, house.clock.now())


def test_others_do_not_name_an_erased_contact(house: House) -> None:
    profile = Profile(id="acme", name="Acme", contacts={"ann": ANN, "bob": BOB})
    body = {
        "account": account_document(profile, "low"),
        "contact": contact_document(ANN),
        "by": contact_document(BOB),
    }
    action(house, "act_hook", rendered={"body": body})
    action(
        house,
        "act_mail",
        channel="email",
        contact="bob",
        rendered={"text": "Ask Ann Lee <ann@acme.test>, Anna"},
    )
    action(house, "act_other", account="beta", rendered={"text": "ann@acme.test"})
    task = {"id": "tsk_1", "play": "ply_1", "playbook": "p", "step": "0", "account": "acme", "title": "Call Ann Lee",
            "body": None, "key": "k", "status": "open", "created_at": T0}  # fmt: skip
    with house.db.write() as conn:
        conn.execute(insert(TASKS), [task])
    erased(house)
    hook, mail, other = (row.rendered for row in house.rows(ACTIONS))
    assert [contact["id"] for contact in hook["body"]["account"]["contacts"]] == ["bob"]
    assert (hook["body"]["contact"], hook["body"]["by"]["id"]) == (None, "bob")
    assert mail == {"text": f"Ask {INSTEAD} <{INSTEAD}>, Anna"}
    assert other == {"text": "ann@acme.test"}
    assert [row.title for row in house.rows(TASKS)] == [f"Call {INSTEAD}"]


def test_a_first_name_alone_is_left_in_words(house: House) -> None:
    action(house, "act_1", rendered={"text": "An Anna, a banner"})
    erased(house, ToErase("acme", "ann", [None], "Anna"))
    assert house.rows(ACTIONS)[0].rendered == {"text": "An Anna, a banner"}


@pytest.mark.parametrize("whole", [True, False])
def test_files_of_the_mails_go(house: House, tmp_path: Path, whole: bool) -> None:
    folder = tmp_path / "outbox"
    folder.mkdir()
    mails = {"act_ann": ("acme", "ann"), "act_bob": ("acme", "bob"), "act_beta": ("beta", "ann")}
    for name, (account, contact) in mails.items():
        action(
            house, name, account=account, contact=contact, channel="email", recipient=f"{contact}@acme.test"
        )
        (folder / file_name(name, T0)).write_text(name)
    (folder / f".{file_name('act_ann', T0)}.tmp").write_text("half")
    files = ErasedMailFiles(folder, house.db, house.clock)
    files.sweep()
    assert len(list(folder.iterdir())) == 4
    erased(house, ToErase("acme", None, []) if whole else PERSON)
    files.sweep()
    left = {"act_beta"} if whole else {"act_bob", "act_beta"}
    assert {path.read_text() for path in folder.iterdir()} == left

    (folder / file_name("act_ann", T0)).write_text("late")  # it was on its way
    house.clock.advance(AGAIN_US // 2)
    files.sweep()
    assert {path.read_text() for path in folder.iterdir()} == left
    house.clock.advance(KEPT_US + 1)
    ErasedMailFiles(folder, house.db, house.clock).sweep()
    assert house.rows(tables.mails_gone) == []


def test_where_there_are_no_files_there_is_nothing_to_do(house: House, tmp_path: Path) -> None:
    action(house, "act_1", contact="ann", channel="email", recipient="ann@acme.test")
    erased(house)
    ErasedMailFiles(tmp_path / "outbox", house.db, house.clock).sweep()
    with house.db.write() as conn:
        conn.execute(update(tables.mails_gone).values(at=0))
    ErasedMailFiles(tmp_path / "outbox", house.db, house.clock).sweep()
    assert house.rows(tables.mails_gone) == []
