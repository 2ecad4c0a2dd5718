"""The ingest service on SQLite and the embedded log, over ASGI."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backbone.clock import ManualClock
from backbone.settings import load_settings
from services.app import open_runtime
from tests.services.ingest.kit import NOW, Kit


@pytest.fixture
async def kit(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Kit]:
    settings = load_settings(data_dir=tmp_path, partitions=4, **getattr(request, "param", {}))
    with open_runtime(settings, ["ingest"], clock=ManualClock(NOW)) as rooms:
        kit = Kit(rooms)
        yield kit
        await kit.http.aclose()
