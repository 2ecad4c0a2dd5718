"""By what accounts are found, against a slow model; and events that wait for it, with several processes at it."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.log import EVENTS
from backbone.log.embedded.log import EmbeddedLog
from backbone.migrations import migrate
from schemas.addresses import normal
from schemas.event import MERGED, Event, decode
from schemas.external_ids import listed
from schemas.forwarding import ABSORBED, ERASED, Absorbed, Erased, take_in
from schemas.profile import Contact, Profile, apply_update
from services.ingest.identity.directory import Directory
from services.ingest.identity.lookup import keys_of
from services.ingest.identity.source_placement import Asked, SourcePlacement
from services.ingest.identity.unmatched import Unmatched
from services.ingest.identity.whose import Way, Whose
from services.ingest.tables import directory as entries
from services.ingest.tables import unmatched

NOW = 1_795_338_000_000_000
KEY = b"sixteen letters!"


class Model:
    """Every update once, in order: profiles, who exists, who was merged into whom."""

    def __init__(self) -> None:
        self.profiles: dict[str, Profile] = {}
        self.known: set[str] = set()
        self.into: dict[str, str] = {}
        self.seen: set[tuple[str, str]] = set()
        self.merges = 0

    def follow(self, event: Event) -> None:
        account = event.account or ""
        profile = self.profiles.setdefault(account, Profile(account))
        if event.type == "account.deleted":
            apply_update(profile, event)
            self.known.discard(account)
            self.seen = {one for one in self.seen if one[0] != account}
            self.into = {one: end for one, end in self.into.items() if account not in (one, end)}
            return
        if event.type != "contact.deleted" and event.type != ABSORBED:
            self.known.add(account)
        if (account, event.id) in self.seen:
            return
        self.seen.add((account, event.id))
        if event.type == ABSORBED:
            taken = msgspec.convert(event.data, Absorbed)
            take_in(profile, taken)
            self.into[taken.account] = account
            self.merges += 1
        else:
            apply_update(profile, event)

    def root(self, account: str) -> str:
        while account in self.into:
            account = self.into[account]
        return account

    def find(self, way: Way) -> tuple[str, ...]:
        """The accounts that go on for those that stand under this way."""
        if way.way == "id":
            return (way.value,) if way.value in self.known else ()
        found = set()
        for name, profile in self.profiles.items():
            if way.way == "external_id":
                there = way.value in listed(profile.external_ids.get(way.system or "", []))
            elif way.way == "domain":
                there = way.value in profile.domains
            else:
                mails = {normal(one.email) for one in profile.contacts.values() if one.email}
                there = name not in self.into and normal(way.value) in mails
            if there:
                found.add(self.root(name))
        return tuple(sorted(found)) if way.way == "external_id" or len(found) == 1 else ()


def told(dice: random.Random, accounts: Sequence[str], number: int, model: Model) -> list[Event]:
    """The next events of a history: as rules lets them be, a merge with the record that follows from it."""
    account = dice.choice(accounts)
    made = Event(type="account.updated", account=account, id=str(dice.randrange(number + 1)))
    people = [f"{name}@{domain}" for name in ("ann", "bob") for domain in ("one.test", "two.test")]
    match dice.randrange(8):
        case 0:
            made.data = {"external_ids": {"crm": dice.choice(["1", "2", ["1", "2"], None])}}
        case 1:
            made.data = {"domains": dice.choice([["one.test"], ["two.test", "one.test"], None])}
        case 2 | 3:
            made.data = {"contacts": [{"id": dice.choice("ab"), "email": dice.choice([*people, None])}]}
        case 4:
            made.type, made.contact, made.data = (
                "contact.updated",
                dice.choice("ab"),
                {"email": dice.choice(people)},
            )
        case 5:
            made.type, made.contact = "contact.deleted", dice.choice("ab")
        case 6:
            made.type = "account.deleted"
            gone = [one for one, end in model.into.items() if end == account]
            return [made, *(event for one in gone for event in erased_there(one, account, number, model))]
        case 7:
            into = dice.choice(accounts)
            if account in model.into or model.root(into) == account or into in model.into:
                return []
            made.type, made.id, made.data = MERGED, f"m{number}", {"into": into}
            mine = model.profiles.get(account, Profile(account))
            contacts = [Contact(one.id, one.email) for one in mine.contacts.values()]
            data = msgspec.to_builtins(Absorbed(account, {account: []}, contacts))
            return [made, Event(type=ABSORBED, account=into, id=f"a{number}", data=data)]
    return [made]


def erased_there(account: str, into: str, number: int, model: Model) -> list[Event]:
    """What rules tells an account that was merged into one that is erased, and so on."""
    record = Event(
        type=ERASED, account=account, id=f"e{number}-{account}", data=msgspec.to_builtins(Erased(into))
    )
    behind = [one for one, end in model.into.items() if end == account]
    return [record, *(event for one in behind for event in erased_there(one, account, number, model))]


def plain(event: Event) -> Event:
    """For the model an erasure is an erasure."""
    return msgspec.structs.replace(event, type="account.deleted") if event.type == ERASED else event


def apart(dice: random.Random, events: Sequence[Event]) -> Iterator[list[Event]]:
    """As the workers of several partitions read them: each account's in their order, the accounts in any."""
    queues: dict[str, list[Event]] = {}
    for one in events:
        queues.setdefault(one.account or "", []).append(one)
    while queues:
        account = dice.choice(sorted(queues))
        take = dice.randint(1, len(queues[account]))
        yield queues[account][:take]
        queues[account] = queues[account][take:]
        if not queues[account]:
            del queues[account]


@pytest.fixture
def followed(db: Database) -> Database:
    migrate(db, "ingest")
    return db


def follow(db: Database, directory: Directory, events: Sequence[Event]) -> None:
    """One batch, as the worker hands it on."""
    new: dict[str, None] = {}
    for one in events:
        name = one.account or ""
        if one.type in ("account.deleted", ERASED):
            new.pop(name, None)
        elif one.type not in ("contact.deleted", ABSORBED):
            new[name] = None
    with db.write() as connection:
        directory.follow(connection, list(new), events, NOW)


@pytest.mark.parametrize("seed", range(8))
def test_accounts_are_found_as_in_the_model(followed: Database, seed: int) -> None:
    dice, model, directory = random.Random(seed), Model(), Directory(KEY)
    accounts = ["acme", "beta", "coop"]
    ways = [
        *(Way("id", None, name) for name in accounts),
        *(Way("external_id", "crm", one) for one in "12"),
        *(Way("domain", None, f"{name}.test") for name in ("one", "two")),
        *(
            Way("email", None, f"{name}@{domain}.test")
            for name in ("ann", "bob")
            for domain in ("one", "two")
        ),
    ]
    number = 0
    for _ in range(25):
        batch: list[Event] = []
        for _ in range(dice.choice([1, 1, 2, 5])):
            number += 1
            events = told(dice, accounts, number, model)
            batch += events
            for one in events:
                model.follow(plain(one))
        for part in apart(dice, batch):
            follow(followed, directory, part)
        if dice.random() < 0.3:  # one of them is sent again
            again = [one for one in batch if one.type not in ("account.deleted", ERASED, MERGED, ABSORBED)][
                -1:
            ]
            follow(followed, directory, again)
            for one in again:
                model.follow(one)
        with followed.read() as connection:
            for way in ways:
                whose = Whose((way,))
                found = directory.lookup(connection, keys_of(whose, directory.key)).accounts(whose)
                assert tuple(sorted(map(model.root, found))) == tuple(map(model.root, model.find(way))), (
                    way,
                    batch,
                )
    assert model.merges, "the history has a merge"


@pytest.fixture
def processes(
    url: str, tmp_path: Path
) -> Iterator[list[tuple[Database, Directory, SourcePlacement, Unmatched]]]:
    """Two of ingest's, each with connections of its own, on one log."""
    log = EmbeddedLog(tmp_path / "log", 4, retention=10**15, now=lambda: NOW)
    made = []
    for _ in range(2):
        db, directory, clock = Database(url), Directory(KEY), ManualClock(NOW)
        migrate(db, "ingest")
        parked = Unmatched(db, log, clock, directory)
        made.append((db, directory, SourcePlacement(db, clock, directory, parked), parked))
    yield made
    for db, *_ in made:
        db.close()
    log.close()


def records(parked: Unmatched) -> list[Event]:
    log: Any = parked._log
    return [
        decode(one.value, place="", timestamp=0)
        for number in range(4)
        for one in log.read(EVENTS, number, 0, 10_000)
    ]


def test_no_event_misses_the_moment_at_which_its_account_is_learned(
    processes: list[tuple[Database, Directory, SourcePlacement, Unmatched]],
) -> None:
    """Doors of two processes place events while a worker learns whose they are, and workers send on what was parked."""
    count = 60
    went: set[str] = set()
    gate = threading.Barrier(4, timeout=60)  # seconds, for a party that failed

    def door(which: int) -> None:
        for number in range(count):
            name = str(number)
            gate.wait()
            event = Event(type="won", source="crm", id=name, data={})
            [found] = processes[which][2].place(
                [Asked(event, Whose((Way("external_id", "crm", name),)), "crm")]
            )
            if found.events:
                assert [one.account for one in found.events] == [f"a{name}"]
                went.add(name)

    def worker() -> None:
        db, directory, *_ = processes[0]
        for number in range(count):
            gate.wait()
            data = {"external_ids": {"crm": str(number)}}
            follow(db, directory, [Event(type="account.updated", account=f"a{number}", id="1", data=data)])

    def sender() -> None:
        for _ in range(count):
            gate.wait()
            processes[1][3].heal(range(4))

    with ThreadPoolExecutor(4) as pool:
        for job in [pool.submit(door, 0), pool.submit(door, 1), pool.submit(worker), pool.submit(sender)]:
            job.result()
    for _, _, _, parked in processes:
        while parked.heal(range(4)):
            pass
    with processes[0][0].read() as connection:
        assert connection.execute(select(func.count()).select_from(unmatched)).scalar() == 0
    sent = {(one.id, one.account) for one in records(processes[0][3])}
    assert sent | {(name, f"a{name}") for name in went} == {
        (str(number), f"a{number}") for number in range(count)
    }


def test_of_a_person_nothing_is_kept_but_a_hash(followed: Database) -> None:
    data = {"contacts": [{"id": "c1", "email": "ann@acme.test", "name": "Ann"}]}
    event = Event(type="account.updated", account="acme", id="1", data=data)
    follow(followed, Directory(KEY), [event])
    with followed.read() as connection:
        [row] = connection.execute(select(entries)).all()
    assert (row.account, row.kind, row.name, row.text) == ("acme", "email", "c1", None)
    assert b"ann" not in row.key


def test_an_erasure_that_names_nobody_erases_nobody(followed: Database) -> None:
    """As another program may write it."""
    directory, whose = Directory(KEY), Whose((Way("id", None, "acme"),))
    said = Event(type="account.updated", account="acme", id="1", data={"external_ids": {"crm": "7"}})
    follow(followed, directory, [said])
    follow(followed, directory, [Event(type="contact.deleted", account="acme", id="2")])
    with followed.read() as connection:
        assert directory.lookup(connection, keys_of(whose, directory.key)).accounts(whose) == ("acme",)
