"""Bytes of the embedded log that changed on the disk: noticed, and nothing but what they belong to is lost."""

from __future__ import annotations

import shutil
import sqlite3
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from backbone.errors import LogUnavailable, TouchlineError
from backbone.log import EVENTS, Entry, OffsetOutOfRange, Record
from backbone.log.embedded.chunk_codec import DamagedChunk, decode, encode
from backbone.log.embedded.log import EmbeddedLog
from backbone.telemetry import LOG_DAMAGED

SIZES = (3, 1, 400, 5)  # records of each chunk
STARTS = (0, 3, 4, 404, 409)
END = STARTS[-1]
SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _open(folder: Path) -> EmbeddedLog:
    return EmbeddedLog(folder, 1, tail_bytes=0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    """A closed log of four chunks, one of them over several pages of the file, and its records."""
    folder = tmp_path_factory.mktemp("whole")
    log, number = _open(folder), 0
    for chunk, size in enumerate(SIZES):
        headers = [("chunk", b"%d" % chunk)]
        entries = [
            Entry(
                f"value {number + i} {hash((chunk, i)):x}".encode() * 5, f"k{i}", headers=headers if i else []
            )
            for i in range(size)
        ]
        wait([log.append(EVENTS, entries)])
        number += size
    records = log.read(EVENTS, 0, 0, 1_000)
    log.close()
    return folder, records


def _read(log: EmbeddedLog) -> list[Record]:
    found: list[Record] = []
    while len(found) < log.end_offsets(EVENTS)[0]:
        found += log.read(EVENTS, 0, len(found), 37)
    return found


def _change(folder: Path, statement: str, *values: Any) -> None:
    with sqlite3.connect(folder / "log.db") as connection:
        assert connection.execute(statement, values).rowcount == 1
    connection.close()


def _body(folder: Path, place: int) -> bytes:
    with sqlite3.connect(folder / "log.db") as connection:
        body: bytes = connection.execute("SELECT body FROM chunks WHERE place = ?", (place,)).fetchone()[0]
    connection.close()
    return body


def _places(folder: Path) -> list[int]:
    with sqlite3.connect(folder / "log.db") as connection:
        found = [row[0] for row in connection.execute("SELECT place FROM chunks ORDER BY place")]
    connection.close()
    return found


def _check(records: list[Record], found: list[Record], damaged: range) -> None:
    assert [one.offset for one in found] == list(range(END))
    for right, one in zip(records, found, strict=True):
        if one.offset in damaged:
            assert one.damage is not None
            assert one.value == b""
            assert one.timestamp <= right.timestamp
        else:
            assert one == right


@given(
    chunk=st.integers(0, 3),
    column=st.sampled_from(["place", "count", "timestamp", "body", "body", "body"]),
    where=st.floats(0, 1, exclude_max=True),
    flip=st.integers(1, 255),
)
@SLOW
def test_whatever_changes_in_a_chunk(
    whole: tuple[Path, list[Record]], tmp_path: Path, chunk: int, column: str, where: float, flip: int
) -> None:
    folder, records = whole
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    place = _places(tmp_path)[chunk]
    if column == "body":
        body = bytearray(_body(tmp_path, place))
        body[int(where * len(body))] ^= flip
        _change(tmp_path, "UPDATE chunks SET body = ? WHERE place = ?", bytes(body), place)
    elif column == "place":  # it stays in its order: else the whole file is damaged
        low, high = (STARTS[chunk - 1] if chunk else -1), STARTS[chunk + 1]
        moved = [place - STARTS[chunk] + offset for offset in range(low + 1, high) if offset != STARTS[chunk]]
        if not moved:
            return
        _change(
            tmp_path, "UPDATE chunks SET place = ? WHERE place = ?", moved[int(where * len(moved))], place
        )
    else:
        step = flip << int(where * 40)
        _change(tmp_path, f"UPDATE chunks SET {column} = {column} + ? WHERE place = ?", step, place)
    log = _open(tmp_path)
    try:
        _check(records, _read(log), range(STARTS[chunk], STARTS[chunk + 1]))
        for offset in range(0, END, 7):  # from anywhere on
            one = log.read(EVENTS, 0, offset, 1)[0]
            assert one == records[offset] or (one.damage and STARTS[chunk] <= offset < STARTS[chunk + 1])
    finally:
        log.close()


@given(where=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
@SLOW
def test_whatever_changes_in_the_file(
    whole: tuple[Path, list[Record]], tmp_path: Path, where: float, flip: int
) -> None:
    """Then the log may be refused as a whole; what it gives is right."""
    folder, records = whole
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    data = bytearray((tmp_path / "log.db").read_bytes())
    data[int(where * len(data))] ^= flip
    (tmp_path / "log.db").write_bytes(data)
    try:
        log = _open(tmp_path)
    except TouchlineError:
        return
    try:
        for offset in range(END):
            for one in log.read(EVENTS, 0, offset, 1):
                assert one.damage is not None or one == records[offset]
    except TouchlineError:
        return
    finally:
        log.close()


def test_a_name_that_is_no_text(whole: tuple[Path, list[Record]], tmp_path: Path) -> None:
    """SQLite quotes it in its error, which Python then cannot read."""
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    data = (tmp_path / "log.db").read_bytes()
    (tmp_path / "log.db").write_bytes(data.replace(b"tablelanes", b"tablel\xeenes"))
    with pytest.raises(LogUnavailable, match="restore the data folder"):
        _open(tmp_path)


def test_a_chunk_that_is_gone(whole: tuple[Path, list[Record]], tmp_path: Path) -> None:
    for chunk in range(4):
        folder, records = whole
        shutil.copytree(folder, tmp_path / str(chunk))
        _change(
            tmp_path / str(chunk), "DELETE FROM chunks WHERE place = ?", _places(tmp_path / str(chunk))[chunk]
        )
        log = _open(tmp_path / str(chunk))
        _check(records, _read(log), range(STARTS[chunk], STARTS[chunk + 1]))
        log.close()


def test_it_is_told_once(whole: tuple[Path, list[Record]], tmp_path: Path) -> None:
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    _change(tmp_path, "UPDATE chunks SET timestamp = 7 WHERE place = ?", _places(tmp_path)[2])
    before = LOG_DAMAGED._value.get()
    log = _open(tmp_path)
    with capture_logs() as told:
        for _ in range(2):
            _read(log)
    log.close()
    assert [(one["event"], one["begin"], one["end"]) for one in told] == [("log.damaged", 4, 403)]
    assert LOG_DAMAGED._value.get() == before + 1


def test_the_log_goes_on_behind_it(whole: tuple[Path, list[Record]], tmp_path: Path) -> None:
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    _change(tmp_path, "UPDATE chunks SET body = x'00' WHERE place = ?", _places(tmp_path)[3])
    log = _open(tmp_path)
    wait([log.append(EVENTS, [Entry(b"next")])])
    found = _read(log)
    assert [one.damage is None for one in found[402:]] == [True] * 2 + [False] * 5 + [True]
    assert found[-1].value == b"next"
    log.close()


@pytest.mark.parametrize("shift", [-(10**12), 10**15])
def test_a_damaged_time_takes_no_neighbour_away(tmp_path: Path, shift: int) -> None:
    """Retention goes by receipt times; what is unread and young stays, what is old goes."""
    day, now = 86_400_000_000, [1_000 * 86_400_000_000]
    log = EmbeddedLog(tmp_path, 1, now=lambda: now[0])
    for _ in range(4):
        wait([log.append(EVENTS, [Entry(b"x")])])
        now[0] += day
    log.close()
    _change(
        tmp_path, "UPDATE chunks SET timestamp = timestamp + ? WHERE place = ?", shift, _places(tmp_path)[1]
    )
    log = EmbeddedLog(tmp_path, 1, now=lambda: now[0], retention=5 * day, tail_bytes=0)
    lane = log.lane(EVENTS, 0).stored.lane
    found = [log._store.expired(lane, now[0] - days * day, 9) for days in (5, 3, 1, 0)]
    assert found == [None, 2 if shift < 0 else 1, 3, 4]  # the damaged one itself may go early
    log.close()


def _as_format_1(folder: Path) -> None:
    """As versions before the checksums wrote it."""
    with sqlite3.connect(folder / "log.db") as connection:
        for place, body in connection.execute("SELECT place, body FROM chunks").fetchall():
            plain = bytes((body[0] & ~4,)) + body[1:-4]
            connection.execute("UPDATE chunks SET body = ? WHERE place = ?", (plain, place))
        connection.execute("UPDATE about SET value = '1' WHERE name = 'format'")
    connection.close()


def test_chunks_without_a_checksum_are_read(whole: tuple[Path, list[Record]], tmp_path: Path) -> None:
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    _as_format_1(tmp_path)
    log = _open(tmp_path)
    wait([log.append(EVENTS, [Entry(b"next")])])
    assert _read(log)[:-1] == whole[1]
    log.close()
    _change(tmp_path, "UPDATE chunks SET body = substr(body, 1, 9) WHERE place = ?", _places(tmp_path)[2])
    last = bytearray(_body(tmp_path, _places(tmp_path)[4]))
    last[0] &= ~4  # the new one has to have its own
    _change(tmp_path, "UPDATE chunks SET body = ? WHERE place = ?", bytes(last), _places(tmp_path)[4])
    log = _open(tmp_path)
    found = _read(log)
    _check(whole[1], found[:-1], range(4, 404))
    assert found[-1].damage == "the record is damaged: it has no checksum"
    log.close()


def test_retention_is_no_damage(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path, 1, tail_bytes=0)
    for _ in range(3):
        wait([log.append(EVENTS, [Entry(b"x")])])
    lane = log.lane(EVENTS, 0)
    lane.start = 2
    log._store.remove(lane.stored.lane, 2)
    with pytest.raises(OffsetOutOfRange):
        log.read(EVENTS, 0, 1)
    assert [one.damage for one in log.read(EVENTS, 0, 2)] == [None]
    log.close()


@given(st.binary(max_size=200), st.booleans())
def test_no_blob_upsets_the_reader(blob: bytes, summed: bool) -> None:
    try:
        decode(blob, 1, 1, 1, summed=summed)
    except DamagedChunk:
        assert True
    else:
        assert not summed


@given(
    st.lists(st.binary(max_size=40), min_size=1, max_size=30), st.integers(0, 2**52), st.integers(0, 2**60)
)
def test_a_blob_says_what_it_was_given(values: list[bytes], place: int, timestamp: int) -> None:
    entries = [Entry(value, None if len(value) % 2 else "k", headers=(("h", value),)) for value in values]
    keys, read, headers = decode(
        encode(entries, place, timestamp), place, len(values), timestamp, summed=True
    )
    assert (read, keys) == (values, [entry.key for entry in entries])
    assert [tuple(map(tuple, one)) for one in headers] == [entry.headers for entry in entries]
