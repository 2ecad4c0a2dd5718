"""Both stacks, for tests of all services together."""

from contextlib import closing
from typing import Any

import pytest

from backbone.database import Database
from tests.migrated import migrated


@pytest.fixture(params=["small", pytest.param("large", marks=[pytest.mark.kafka, pytest.mark.postgres])])
def stores(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings of each stack: embedded, or an empty Kafka and a PostgreSQL with our tables."""
    if request.param == "small":
        return {}
    url = request.getfixturevalue("fresh_postgres_url")
    servers = request.getfixturevalue("kafka").bootstrap_servers
    with closing(Database(url)) as database:
        migrated(database)
    return {"database_url": url, "kafka_bootstrap_servers": servers, "secret_key": "sixteen letters and more"}
