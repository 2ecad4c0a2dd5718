"""All three services behind a real port, on the log clock, for tests of every call in the public contract."""

from collections.abc import Iterator

import httpx
import pytest

from backbone.settings import load_settings
from services.app import Runtime, running


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Runtime, str]]:
    """The services and their address."""
    settings = load_settings(data_dir=tmp_path_factory.mktemp("data"), port=0, partitions=1, clock="log")
    with running(settings) as (rooms, url):
        yield rooms, url


@pytest.fixture(scope="module")
def api(served: tuple[Runtime, str]) -> Iterator[httpx.Client]:
    """A client with the admin key."""
    rooms, url = served
    key = (rooms.settings.data_dir / "admin.key").read_text().strip()
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30) as client:
        yield client
