"""The journal: what a dead process had not committed is committed for it, and nothing is sent that may have been."""

import fcntl
import os
from pathlib import Path

import pytest

from services.actions.delivery import journal as module
from services.actions.delivery.attempt_writer import AttemptWriter, BatchResult
from services.actions.delivery.journal import Journal, boot_id, read, taken
from services.actions.delivery.recovery import take_over
from services.actions.plays.retry_policy import Outcome
from services.actions.storage.attempts import start_attempts
from services.actions.tables import actions
from tests.services.delivery.kit import HASHER, Fake, House
from tests.services.leases import lease_due

DONE = Outcome(kind="done", detail="250 taken \ud800")
KNOWN = boot_id() != ""  # else silence is never evidence


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "delivery"


def journal(folder: Path, owner: str = "me") -> Journal:
    made = Journal(folder, owner)
    made.begun([("act_1", 1), ("act_2", 3)])
    return made


def die(made: Journal) -> None:
    """As kill -9 leaves it: the file there, its lock gone."""
    assert made._file is not None
    os.close(made._file)


def test_what_was_written_is_read(folder: Path) -> None:
    made = journal(folder)
    made.before_effect("act_1")
    made.ended("act_1", DONE)
    made.before_effect("act_2")
    made.ended("act_unknown", DONE)
    left = read((folder / "me.journal").read_bytes())
    assert (left.owner, left.complete) == ("me", KNOWN)
    assert left.begun_effects == {("act_1", 1), ("act_2", 3)}
    assert {key: (end.kind, end.detail) for key, end in left.ends.items()} == {
        ("act_1", 1): ("done", "250 taken ?")
    }


def test_a_torn_last_line_is_left_out(folder: Path) -> None:
    made = journal(folder)
    made.ended("act_1", DONE)
    whole = (folder / "me.journal").read_bytes()
    made.ended("act_2", DONE)
    text = (folder / "me.journal").read_bytes()
    for end in range(len(whole), len(text)):
        left = read(text[:end])
        assert (left.complete, set(left.ends)) == (KNOWN, {("act_1", 1)})
    assert set(read(text).ends) == {("act_1", 1), ("act_2", 3)}


@pytest.mark.parametrize(
    "text", [b"", b"{", b"nonsense\n", b'{"owner":"me"}\n{"action":"a","n":1}\n', b"\0" * 99]
)
def test_a_journal_without_a_head_says_nothing(text: bytes) -> None:
    assert read(text) == module.JournalRest("", False, frozenset(), {})


def test_silence_is_no_evidence_after_another_boot_or_a_broken_line(folder: Path) -> None:
    journal(folder).ended("act_1", DONE)
    text = (folder / "me.journal").read_bytes()
    other = text.replace(boot_id().encode() or b'"boot":""', b'"boot":"x"' if not KNOWN else b"another")
    broken = text.replace(b"\n", b"\n\0\0\n", 1)
    for one in (other, broken):
        assert not read(one).complete
        assert set(read(one).ends) == {("act_1", 1)}


def test_a_living_owner_s_journal_is_not_touched(folder: Path) -> None:
    made = journal(folder)
    made.ended("act_1", DONE)
    with taken(folder / "me.journal") as left:
        assert left is None
    assert (folder / "me.journal").exists()
    die(made)
    with taken(folder / "me.journal") as left:
        assert left is not None
        with taken(folder / "me.journal") as again:  # one at a time
            assert again is None
    assert list(folder.iterdir()) == []


def test_one_that_could_not_be_dealt_with_stays(folder: Path) -> None:
    die(journal(folder))
    with pytest.raises(KeyError), taken(folder / "me.journal"):
        raise KeyError
    assert (folder / "me.journal").exists()


def test_it_holds_only_what_is_not_committed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEW_BYTES", 1)
    made = journal(folder)
    made.before_effect("act_1")
    made.ended("act_1", DONE)
    made.before_effect("act_2")
    old = os.open(folder / "me.journal", os.O_RDONLY)
    made.settled(["act_1"])
    made.tidy()
    fcntl.flock(old, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody's any more
    os.close(old)
    left = read((folder / "me.journal").read_bytes())
    assert (left.begun_effects, left.ends) == ({("act_2", 3)}, {})
    with taken(folder / "me.journal") as busy:
        assert busy is None
    made.close()  # act_2 is open still
    assert (folder / "me.journal").exists()


def test_with_nothing_open_it_is_emptied_and_then_deleted(folder: Path) -> None:
    made = journal(folder)
    made.ended("act_1", DONE)
    made.tidy()
    assert read((folder / "me.journal").read_bytes()).ends
    made.settled(["act_1", "act_2"])
    made.tidy()
    assert len((folder / "me.journal").read_bytes().splitlines()) == 1
    made.close()
    assert list(folder.iterdir()) == []


def test_on_a_full_disk_it_is_withdrawn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = journal(folder)
    made.before_effect("act_1")

    def full(file: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "write", full)
    made.before_effect("act_2")  # goes out without a mark: so there must be no journal
    assert list(folder.iterdir()) == []
    made.ended("act_2", DONE)
    made.tidy()
    made.close()
    assert list(folder.iterdir()) == []


def test_what_can_be_neither_marked_nor_withdrawn_does_not_go_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = journal(folder)

    def fails(*_: object, **__: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module.os, "write", fails)
    monkeypatch.setattr(Path, "unlink", fails)
    with pytest.raises(OSError, match="Input/output"):
        made.before_effect("act_1")
    made.ended("act_1", DONE)  # but what has happened has happened


def test_once_nothing_is_under_way_it_begins_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    made = journal(folder)
    with monkeypatch.context() as broken:
        broken.setattr(module.os, "write", full)
        made.before_effect("act_1")
        made.settled(["act_1"])
        made.tidy()
    made.tidy()
    assert list(folder.iterdir()) == []  # act_2 is under way, and nothing is known of it
    made.settled(["act_2"])
    made.tidy()
    made.begun([("act_3", 1)])
    made.before_effect("act_3")
    left = read((folder / "me.journal").read_bytes())
    assert (left.complete, left.begun_effects) == (KNOWN, {("act_3", 1)})


def test_where_no_folder_can_be_it_does_without(folder: Path) -> None:
    folder.write_text("in the way")
    made = journal(folder)
    made.before_effect("act_1")
    made.ended("act_1", DONE)
    made.settled(["act_1", "act_2"])
    made.tidy()
    folder.unlink()
    made.tidy()
    assert [path.name for path in folder.iterdir()] == ["me.journal"]
    made.close()
    assert list(folder.iterdir()) == []


def test_a_disk_that_can_only_be_read_stops_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(module, "RENEW_BYTES", 1)
    made = journal(folder)
    with monkeypatch.context() as broken:
        broken.setattr(module.os, "open", fails)
        broken.setattr(Path, "unlink", fails)
        made.tidy()
        none = Journal(folder, "other")
        none.begun([("act_9", 1)])
        none.before_effect("act_9")
    made.before_effect("act_1")  # the old one holds
    assert read((folder / "me.journal").read_bytes()).begun_effects == {("act_1", 1)}
    made.settled(["act_1", "act_2"])
    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", fails)
        made.close()


class Dead:
    """A process that leased and began four mails, and died."""

    def __init__(self, house: House) -> None:
        self.house, self.folder = house, house.settings.data_dir / "delivery"
        house.put("act_ended", "act_passed", "act_silent", "act_leased")
        self.journal = Journal(self.folder, "dead")
        now = house.clock.now()
        with house.db.write() as conn:
            leased = lease_due(conn, now, "dead", 10)
            begun = start_attempts(conn, [one.id for one in leased][:3], "dead", now)
        self.journal.begun(begun.items())
        self.journal.before_effect("act_ended")
        self.journal.ended("act_ended", DONE)
        self.journal.before_effect("act_passed")

    def taken_over(self) -> tuple[bool, list[BatchResult]]:
        told: list[BatchResult] = []
        recorder = AttemptWriter("other", HASHER, 2, log_clock=False)
        return take_over(self.folder, self.house.db, self.house.clock, recorder, told.append), told


@pytest.fixture
def dead(house: House) -> Dead:
    return Dead(house)


def test_the_dead_one_s_ends_count_once_and_the_rest_is_free(house: House, dead: Dead) -> None:
    die(dead.journal)
    text = (dead.folder / "dead.journal").read_bytes()
    assert dead.taken_over()[0]
    assert house.states()["act_ended"] == ("done", None)
    assert house.attempts("act_ended") == [(1, "done", True)]
    assert len(house.events()) == 1
    (dead.folder / "dead.journal").write_bytes(text)  # as if its deletion had been lost
    found, told = dead.taken_over()
    assert (found, [written.tally for written in told]) == (True, [[]])
    assert len(house.events()) == 1
    mails = Fake(idempotent=False)
    house.loop(alone=False, email=mails)
    house.settled()
    sent = {"act_silent", "act_leased"} if KNOWN else {"act_leased"}
    assert set(mails.sent) == sent
    assert house.states()["act_passed"] == ("uncertain", "maybe_delivered")
    assert house.attempts("act_passed") == [(1, "interrupted", True)]
    if KNOWN:
        assert house.attempts("act_silent") == [(1, "interrupted", True), (2, "done", True)]


def test_a_living_one_keeps_its_leases(house: House, dead: Dead) -> None:
    assert dead.taken_over() == (False, [])
    mails = Fake()
    loop = house.loop(alone=False, email=mails)
    house.put("act_new")
    loop.wake()
    house.until(lambda: house.states()["act_new"][0] == "done")
    assert mails.sent == ["act_new"]
    dead.journal.close()


def test_after_another_boot_what_had_begun_is_uncertain(
    house: House, dead: Dead, monkeypatch: pytest.MonkeyPatch
) -> None:
    die(dead.journal)
    monkeypatch.setattr(module, "boot_id", lambda: "another")
    dead.taken_over()
    mails = Fake(idempotent=False)
    house.loop(alone=False, email=mails)
    house.settled()
    assert mails.sent == ["act_leased"]
    assert house.states()["act_silent"] == ("uncertain", "maybe_delivered")
    assert house.states()["act_ended"] == ("done", None)


def test_what_somebody_else_has_taken_over_is_theirs(house: House, dead: Dead) -> None:
    die(dead.journal)
    with house.db.write() as conn:
        later = house.clock.now() + 60_000_000
        again = lease_due(conn, later, "third", 10)
        assert start_attempts(conn, ["act_ended"], "third", later) == {"act_ended": 2}
    assert len(again) == 4
    before = house.rows(actions)
    assert dead.taken_over()[0]
    assert house.rows(actions) == before
    assert house.events() == []
