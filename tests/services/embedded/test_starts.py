"""A start, or a command, that cannot go on says in one line what is wrong and what to do."""

import os
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from backbone.errors import TouchlineError
from backbone.settings import load_settings
from services.app import open_runtime

COMMAND = [sys.executable, "-m", "services.cli.main"]
PAGE = 4_096


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a Touchline that was started once and stopped."""
    folder = tmp_path_factory.mktemp("served") / "data"
    with open_runtime(load_settings(data_dir=folder)):
        pass
    return folder


@pytest.fixture
def data(served: Path, tmp_path: Path) -> Path:
    shutil.copytree(served, tmp_path / "data")
    return tmp_path / "data"


def noise(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 64)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // PAGE // 2 * PAGE)


def scratch(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(PAGE)
        file.write(b"\x5a" * (path.stat().st_size - 2 * PAGE))


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


def empty(path: Path) -> None:
    path.write_text("\n")


Harm = Callable[[Path], None]
DAMAGED = "damaged"
FOR_A_BACKUP = "from a backup"


@pytest.mark.parametrize(
    ("name", "harm", "said"),
    [
        *(("touchline.db", harm, (DAMAGED, FOR_A_BACKUP)) for harm in (noise, cut, scratch)),
        ("touchline.db", folder_instead, ("touchline.db", "unable to open")),
        *(("log.db", harm, (DAMAGED, FOR_A_BACKUP, "log.db")) for harm in (noise, cut, scratch)),
        ("log.db", folder_instead, ("log.db", "unable to open")),
        ("admin.key", empty, ("admin.key is empty", "delete it and start Touchline again")),
        ("admin.key", noise, ("admin.key is damaged", "delete it and start Touchline again")),
        ("admin.key", folder_instead, ("admin.key cannot be read", "Is a directory")),
        ("secret.key", empty, ("secret.key is empty", "put it back from a copy")),
        ("secret.key", folder_instead, ("secret.key cannot be read", "Is a directory")),
    ],
)
def test_what_is_damaged_is_named_with_what_to_do(
    data: Path, name: str, harm: Harm, said: tuple[str, ...]
) -> None:
    harm(data / name)
    for rest in data.glob(f"{name}-*"):
        rest.unlink()  # a write-ahead log would mend some of it
    with pytest.raises(TouchlineError) as refused, open_runtime(load_settings(data_dir=data)):
        pass
    message = refused.value.message
    assert all(part in message for part in said), message
    assert "\n" not in message
    assert "SELECT" not in message


def run(*words: str, folder: Path, full: bool = False, **settings: str) -> subprocess.CompletedProcess[str]:
    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (PAGE, PAGE))

    return subprocess.run(
        [*COMMAND, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "TOUCHLINE_DATA_DIR": str(folder / "data"), **settings},
        preexec_fn=no_room if full else None,
    )  # fmt: skip


def one_line(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("touchline: ")
    assert all(part in done.stderr for part in parts), done.stderr


@pytest.mark.parametrize("words", [("serve", "all"), ("migrate",), ("keys", "list")])
def test_commands_end_in_one_line(data: Path, words: tuple[str, ...]) -> None:
    noise(data / "touchline.db")
    one_line(run(*words, folder=data.parent), DAMAGED)


@pytest.mark.parametrize("first", [True, False])
def test_a_full_disk(data: Path, first: bool) -> None:
    if first:
        shutil.rmtree(data)
    one_line(run("serve", "all", folder=data.parent, full=True), "room on the disk")


def test_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    one_line(run("serve", "all", folder=tmp_path), "TOUCHLINE_DATA_DIR", "Not a directory")


def test_a_port_in_use_and_a_host_that_is_none(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        one_line(run("serve", "all", folder=tmp_path, TOUCHLINE_PORT=port), port, "TOUCHLINE_PORT")
    one_line(
        run("serve", "all", folder=tmp_path, TOUCHLINE_HOST="no.such.host.invalid"), "no.such.host.invalid"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"TOUCHLINE_PORT=\xff\n", "UTF-8"), (b"TOUCHLINE_CLOCK=log\nTOUCHLINE PORT 9000\n", "line 2")],
)
def test_an_env_file_that_cannot_be_read(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / ".env").write_bytes(content)
    one_line(run("keys", "list", folder=tmp_path), ".env", said)


@pytest.mark.parametrize(
    "url", ["no address", "127.0.0.1:8080", "http://", "http://[::1", "ftp://us.test", "http://us.test:99x"]
)
def test_an_address_that_is_none(tmp_path: Path, url: str) -> None:
    one_line(run("export", "out", folder=tmp_path, TOUCHLINE_URL=url, TOUCHLINE_API_KEY="x"), "TOUCHLINE_URL")


def test_nobody_answers_and_no_key(data: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        one_line(run("export", "out", folder=data.parent, TOUCHLINE_URL=url), url, "is Touchline running?")
        key = "tl_ two"
        one_line(
            run("export", "out", folder=data.parent, TOUCHLINE_URL=url, TOUCHLINE_API_KEY=key),
            "TOUCHLINE_API_KEY",
        )
    empty(data / "admin.key")
    one_line(run("export", "out", folder=data.parent), "admin.key is empty", "TOUCHLINE_API_KEY")
    (data / "admin.key").unlink()
    one_line(run("export", "out", folder=data.parent), "no API key", "make run")
