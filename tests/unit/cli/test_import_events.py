"""Lines of events and their ids; what the sender keeps in order; where a second run goes on."""

from __future__ import annotations

import io
import json
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbone.errors import ConfigurationError
from services.cli.client import ApiError
from services.cli.imports import events as running
from services.cli.imports import report as reports
from services.cli.imports import sender as sending
from services.cli.imports.event_lines import MOST_BYTES, BadLine, Line, Namer, lines_of
from services.cli.imports.journal import Journal, Place
from services.cli.imports.report import Report
from services.cli.imports.sender import Item, Sender
from services.cli.terminal import Terminal


def ids_of(texts: Sequence[str]) -> list[str]:
    with Namer(historical=True) as namer:
        return [
            json.loads(namer.event(Line(place, 0, 0, text.encode())).body)["id"]
            for place, text in enumerate(texts)
        ]


TEXTS = st.lists(
    st.sampled_from(["a", "b", "c"]).map(lambda name: f'{{"type":"t","account":"{name}"}}'), max_size=8
)


@given(TEXTS, TEXTS, st.data())
def test_an_id_follows_from_the_line_and_from_which_of_the_same_it_is(
    texts: list[str], more: list[str], data: st.DataObject
) -> None:
    """So ids are all different, and stay when lines are added or when others are taken out."""
    ids = ids_of(texts)
    assert len(set(ids)) == len(ids)
    assert ids_of(texts + more)[: len(ids)] == ids
    left = data.draw(st.sampled_from(texts)) if texts else ""
    others = [text for text in texts if text != left]
    assert ids_of(others) == [one for one, text in zip(ids, texts, strict=True) if text != left]


def event_of(line: str, *, historical: bool = True) -> dict[str, Any]:
    with Namer(historical=historical) as namer:
        found: dict[str, Any] = json.loads(namer.event(Line(1, 0, 0, line.encode())).body)
        return found


def test_what_a_line_says_goes_as_it_is() -> None:
    line = '{"id":"7","type":"t","account":"a","data":{"n":1.10,"big":12345678901234567890123},"historical":false}'
    assert event_of(line, historical=False) == json.loads(line)
    assert event_of(line) == {**json.loads(line), "historical": True}
    assert event_of('{"id":null,"type":"t"}')["id"].startswith("import-")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"[1]", "one event, an object"),
        (b"7", "one event, an object"),
        (b'{"type":', "is not JSON"),
        (b'{"type": "t"} x', "is not JSON"),
        (b"\xff", "is not JSON"),
        (None, "65,536 bytes"),
    ],
)
def test_what_is_no_event(raw: bytes | None, said: str) -> None:
    with Namer(historical=True) as namer, pytest.raises(BadLine, match=said):
        namer.event(Line(1, 0, 0, raw))


def test_lines_and_their_places() -> None:
    long = b"x" * (3 * MOST_BYTES)
    file = io.BytesIO(b"\xef\xbb\xbf{1}\r\n\n  \n{2}\n" + long + b"\n{3}")
    found = list(lines_of(file))
    assert [(line.number, line.raw) for line in found] == [(1, b"{1}"), (4, b"{2}"), (5, None), (6, b"{3}")]
    assert (found[0].begin, found[0].end, found[1].begin, found[-1].end) == (0, 8, 12, file.tell())


def item(place: int) -> Item:
    return Item(place, place, b"x" * 10)


@given(st.lists(st.integers(0, 5), max_size=60), st.integers(1, 4), st.sets(st.integers(0, 20)))
def test_everything_is_delivered_once_and_an_accounts_in_order(
    accounts: list[int], at_once: int, busy: set[int]
) -> None:
    """Some requests are refused because the server is busy; nothing behind them overtakes."""
    got: list[Item] = []
    lock, asked = threading.Lock(), iter(range(10_000))

    def deliver(items: Sequence[Item]) -> None:
        with lock:
            if next(asked) in busy:
                raise ApiError(429, {"retry_after": 0.001})
            got.extend(items)

    with Sender(deliver, at_once=at_once) as sender:
        for place, account in enumerate(accounts):
            sender.put(str(account), item(place))
            assert sender.done(place + 1) <= min(set(range(place + 2)) - {one.line for one in list(got)})
    assert sender.done(len(accounts)) == len(accounts)
    assert Counter(one.line for one in got) == Counter(range(len(accounts)))
    for account in set(accounts):
        mine = [one.line for one in got if accounts[one.line] == account]
        assert mine == sorted(mine)


def test_what_cannot_be_got_over_ends_it() -> None:
    def deliver(items: Sequence[Item]) -> None:
        raise ApiError(403, {"detail": f"no scope for {len(items)}"})

    sender = Sender(deliver, at_once=1)

    def run() -> None:
        with sender:
            for place in range(1_000):
                sender.put("a", item(place))

    with pytest.raises(ApiError, match="no scope for 1"):
        run()
    assert sender.done(1_000) == 0


def test_a_server_that_goes_away_is_waited_for_and_one_that_never_was_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sending, "PAUSES_S", (0.001, 0.001))
    answers: list[str] = []

    def deliver(_: Sequence[Item]) -> None:
        answers.append("asked")
        if len(answers) in (away or range(1_000)):
            raise ConfigurationError("does not answer")

    away: tuple[int, ...] = (2, 3)
    with Sender(deliver, at_once=1, lanes=1) as sender:
        for place in range(3):
            sender.put("a", item(place))
    assert len(answers) == 5
    answers, away = [], ()
    with pytest.raises(ConfigurationError), Sender(deliver, at_once=1, lanes=1) as sender:
        sender.put("a", item(0))
    assert len(answers) == 1


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Report, Journal]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    report = Report(Path("a.ndjson"), Terminal(file=io.StringIO()))
    return report, Journal(report, "server", "first line")


def test_the_journal_keeps_the_last_place_before_which_all_was_delivered(
    journal: tuple[Report, Journal],
) -> None:
    report, kept = journal
    assert kept.read().place == Place()
    places = [Place(10 * n, n, n, f"digest{n}") for n in (1, 2, 3)]
    for place in places:
        kept.passed(place)
    for line in (1, 3):
        report.wrong(line, ("type", "is required"))
    kept.save(9)
    assert kept.read().place == Place()
    kept.save(25)
    again = Journal(report, "server", "first line").read()
    assert (again.place, again.bad, [one.line for one in again.problems]) == (places[1], 1, [1])
    assert Journal(report, "server", "another line").read().place == Place()
    assert Journal(report, "another server", "first line").read().place == Place()


def test_a_journal_that_cannot_be_read_or_written_costs_nothing_but_time(
    journal: tuple[Report, Journal], tmp_path: Path
) -> None:
    _, kept = journal
    kept.passed(Place(1, 1, 1, "d"))
    kept.save(1)
    (file,) = (tmp_path / "touchline" / "imports").iterdir()
    file.write_text('{"place": {"offset": 1}')
    assert kept.read().place == Place()
    file.unlink()
    file.mkdir()
    kept.passed(Place(2, 2, 2, "d"))
    kept.save(2)
    assert kept.read().place == Place()


def test_what_is_warned_of_is_told_once_and_bad_lines_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "SHOWN", 2)
    monkeypatch.setattr(reports, "WARNED", 2)
    said = io.StringIO()
    report = Report(Path("a.csv"), Terminal(file=said, width=200))
    for line in range(1, 6):
        report.warn(line, "ARR", "is text", f"{line},000")
        report.warn(line, "id", f"of its own kind {line}")
        report.wrong(line, ("tier", "should be [high]"))
    report.end()
    assert said.getvalue().splitlines() == [
        "error   a.csv:1: tier: should be [high]",
        "error   a.csv:2: tier: should be [high]",
        "warning a.csv: ARR: '1,000' is text (lines 1, 2, 3 and 2 more)",
        "warning a.csv: id: of its own kind 1 (line 1)",
        "warning a.csv: 4 more of other kinds",
        "error   a.csv: 3 further lines",
    ]


class FakeDoor:
    """Takes events as the server does: each id once, and refuses the type "bad"."""

    identity = ("server", "key")

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.asked = 0

    def send(self, path: str, body: bytes, media: str) -> dict[str, Any]:
        """The answer of `POST /v1/events`."""
        assert (path, media) == ("/v1/events", "application/json")
        events = json.loads(body)
        self.asked += len(events)
        refused = [place for place, event in enumerate(events) if event.get("type") == "bad"]
        self.ids |= {event["id"] for place, event in enumerate(events) if place not in refused}
        error = {"code": "invalid", "field": "type", "message": "is bad"}
        answer = {
            "accepted": len(events) - len(refused),
            "rejected": [{"index": place, "id": None, "error": error} for place in refused],
        }
        if not answer["accepted"]:
            raise ApiError(422, answer)
        return answer


LINE = st.sampled_from(
    ['{"type":"a","account":"x"}', '{"type":"b","account":"y"}', '{"type":"bad"}', "{", "", "7"]
)
FILES = st.lists(LINE, min_size=1, max_size=6).map("\n".join).filter(str.strip)
EDITS = st.one_of(
    st.tuples(st.just("append"), st.sampled_from(["\n", ""]), FILES),
    st.tuples(st.just("cut"), st.integers(1, 40), st.just("")),
    st.tuples(st.just("put"), st.integers(0, 6), LINE),
)


def edited(text: str, edit: tuple[str, Any, str]) -> str:
    what, where, with_ = edit
    if what == "append":
        return f"{text}{where}{with_}"
    if what == "cut":
        return text[:-where]
    return "\n".join([*text.split("\n")[:where], with_, *text.split("\n")[where + 1 :]])


def wanted_of(text: str) -> tuple[set[str], int]:
    """The ids that the server should have of a file, and how many of its lines are bad."""
    ids, bad = set(), 0
    with Namer(historical=True) as namer:
        for line in lines_of(io.BytesIO(text.encode())):
            try:
                event = json.loads(namer.event(line).body)
            except BadLine:
                bad += 1
                continue
            if event["type"] == "bad":
                bad += 1
            else:
                ids.add(event["id"])
    return ids, bad


@given(FILES, st.lists(EDITS, max_size=4), st.integers(1, 40))
def test_a_file_that_was_edited_between_runs_is_brought_in_whole(
    text: str, edits: list[tuple[str, Any, str]], every: int
) -> None:
    """What it says now is there, and all its bad lines are named, also those of a run before."""
    door = FakeDoor()
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", folder)
        patch.setattr(running, "EVERY_BYTES", every)
        path = Path(folder) / "events.ndjson"
        for edit in [None, *edits]:
            text = text if edit is None else edited(text, edit)
            if not text.strip():
                return
            path.write_text(text)
            silent = Terminal(file=io.StringIO())
            for again in (False, True):
                report, asked = Report(path, silent), door.asked
                before = running.import_events(door, path, report, silent, historical=True)  # type: ignore[arg-type]
                ids, bad = wanted_of(text)
                assert ids <= door.ids
                assert (report.bad, len({one.line for one in report.problems})) == (bad, bad)
                lines = sum(bool(line.strip()) for line in text.split("\n"))
                if again:
                    assert (door.asked, report.taken, before) == (asked, 0, lines - bad)
