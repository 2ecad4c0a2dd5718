"""PostgreSQL over TLS: what the address asks for is what happens."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from backbone.database import Database
from backbone.errors import DatabaseUnavailable
from backbone.settings import load_settings
from deploy.local.postgres import Postgres, server_user
from tests.conformance.certificates import Certificates, make_certificates
from tests.migrated import migrated

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Certificates]]:
    """The address of a database, and the files to check its server with."""
    files = make_certificates(tmp_path_factory.mktemp("certificates"))
    with Postgres() as postgres:
        files.broker.chmod(0o600)
        key = Path(shutil.copy(files.broker, postgres.log.with_name("server.pem")))
        if user := server_user():
            shutil.chown(key, user)
        url = postgres.url()
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            for statement in (
                f"ALTER SYSTEM SET ssl_cert_file = '{key}'",
                f"ALTER SYSTEM SET ssl_key_file = '{key}'",
                "ALTER SYSTEM SET ssl = 'on'",
            ):
                connection.execute(statement.encode())
        postgres.restart()
        yield url, files


def opened(url: str) -> Database:
    return Database(load_settings(database_url=url).url, pool_size=1)


def test_a_server_that_is_who_it_says(server: tuple[str, Certificates]) -> None:
    url, files = server
    db = opened(f"{url}?sslmode=verify-full&sslrootcert={files.authority}")
    migrated(db, ["backbone"])
    with db.read() as connection:
        query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        assert connection.execute(text(query)).scalar_one() is True
        assert connection.execute(text("SHOW idle_in_transaction_session_timeout")).scalar_one() == "30s"
    db.close()


@pytest.mark.parametrize("wrong", ["authority", "host"])
def test_a_server_that_is_not(server: tuple[str, Certificates], wrong: str) -> None:
    url, files = server
    trusted = files.stranger if wrong == "authority" else files.authority
    host = "localhost" if wrong == "host" else "127.0.0.1"
    db = opened(f"{url.replace('127.0.0.1', host)}?sslmode=verify-full&sslrootcert={trusted}")
    with (
        pytest.raises(DatabaseUnavailable, match=r"certificate verify failed|does not match host name"),
        db.read(),
    ):
        pass
    db.close()
