"""Free ports: outside the range that the system gives out, and nobody else's."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import ports
from deploy.local.ports import free_port, free_ports, port_is_open


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> range:
    """The only ports to choose from: ten in a row, free now."""
    first = free_ports(10)
    monkeypatch.setattr(ports, "_ours", lambda: (first, first + 9))
    for _ in range(10):
        ports._kept.pop().close()
    return range(first, first + 10)


def test_it_is_not_open_and_no_connection_can_take_it() -> None:
    port = free_port()
    assert not port_is_open(port)
    lowest, highest = ports._ours()
    assert lowest <= port <= highest


def test_each_is_given_once_and_none_that_somebody_listens_on(few: range) -> None:
    with socket.create_server(("127.0.0.1", few[4])):
        assert port_is_open(few[4])
        assert {free_port() for _ in range(9)} == set(few) - {few[4]}
        with pytest.raises(OSError, match=f"no 1 free ports of 127.0.0.1 between {few[0]} and {few[-1]}"):
            free_port()


def test_a_row_has_no_taken_port_in_it(few: range) -> None:
    with socket.create_server(("127.0.0.1", few[2])):
        assert free_ports(7) == few[3]


def test_another_process_gets_others_until_this_one_has_ended(few: range) -> None:
    code = f"""
from deploy.local import ports
ports._ours = lambda: ({few[0]}, {few[-1]})
print(sorted(ports.free_port() for _ in range(5)), flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        theirs = set(map(int, other.stdout.readline().strip("[]\n").split(",")))
        assert {free_port() for _ in range(5)} == set(few) - theirs
        other.communicate("\n", timeout=30)
    assert {free_port() for _ in range(5)} == theirs


@pytest.mark.parametrize(
    ("system", "ours"),
    [
        ("32768\t60999\n", (10_000, 32_767)),
        ("10100\t20000\n", (20_001, 65_535)),
        ("1024\t65535\n", (10_000, 65_535)),  # it leaves nothing
        (None, (10_000, 49_151)),
    ],
)
def test_the_larger_part_that_the_system_leaves(
    system: str | None, ours: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "range"
    if system is not None:
        file.write_text(system)
    monkeypatch.setattr(ports, "SYSTEM_RANGE", file)
    assert ports._ours() == ours
