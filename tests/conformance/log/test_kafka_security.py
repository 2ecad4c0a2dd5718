"""TLS and SASL on a real broker: the right settings get in, and every wrong one is named within seconds."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import structlog

from backbone.errors import ConfigurationError
from backbone.log import EVENTS, Entry, LogUnavailable, open_log
from backbone.log.kafka.cluster import cluster_of
from backbone.log.kafka.log import KafkaLog
from backbone.settings import load_settings
from backbone.web.api_keys import create_key
from deploy.local.kafka import Kafka, Listener
from deploy.local.process import wait_until
from services.app import running
from tests.conformance.certificates import PASSWORD as OF_THE_KEY
from tests.conformance.certificates import Certificates, make_certificates
from tests.conformance.log.conftest import Twin

pytestmark = pytest.mark.kafka
PARTITIONS = 4
WAIT_S = 30.0
USER, PASSWORD = "touchline", "correct horse"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
PLAIN = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'


@dataclass(frozen=True)
class Secured:
    """A broker with four doors, and the files to open them."""

    plain: str
    sasl: str  # SASL_SSL: SCRAM-SHA-512 and PLAIN
    mutual: str  # SSL: asks for a certificate
    bare: str  # SASL_PLAINTEXT: SCRAM-SHA-256
    files: Certificates

    def settings(self, **given: Any) -> dict[str, Any]:
        """Those that get in with SCRAM, but for what is given; None leaves one out."""
        right = {
            "kafka_bootstrap_servers": self.sasl,
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_mechanism": "SCRAM-SHA-512",
            "kafka_sasl_username": USER,
            "kafka_sasl_password": PASSWORD,
            "kafka_ssl_cafile": str(self.files.authority),
        }
        return {name: value for name, value in {**right, **given}.items() if value is not None}

    def without_sasl(self, **given: Any) -> dict[str, Any]:
        """Those that get in with a certificate, but for what is given."""
        nothing = dict.fromkeys(("kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password"))
        mutual = {"kafka_bootstrap_servers": self.mutual, "kafka_security_protocol": "SSL"}
        certificate = {"kafka_ssl_certfile": str(self.files.client)}
        return self.settings(**{**nothing, **mutual, **certificate, **given})


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    files = make_certificates(tmp_path_factory.mktemp("certificates"))
    stores = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(files.broker),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(files.authority),
    }
    mechanisms = {
        "sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
        "scram-sha-512.sasl.jaas.config": SCRAM,
        "plain.sasl.jaas.config": PLAIN,
    }
    sasl = Listener("SASL", "SASL_SSL", {**stores, **mechanisms}, {USER: PASSWORD})
    mutual = Listener("MUTUAL", "SSL", {**stores, "ssl.client.auth": "required"})
    older = {"sasl.enabled.mechanisms": "SCRAM-SHA-256", "scram-sha-256.sasl.jaas.config": SCRAM}
    bare = Listener("BARE", "SASL_PLAINTEXT", older, {USER: PASSWORD}, "SCRAM-SHA-256")
    doors = [sasl, mutual, bare]
    with Kafka(quick=True, listeners=doors) as broker:
        yield Secured(broker.bootstrap_servers, *(door.bootstrap_servers for door in doors), files)


def twin_of(given: Mapping[str, Any], prefix: str) -> Twin:
    settings = load_settings(partitions=PARTITIONS, **given)
    return Twin("kafka", lambda partitions: KafkaLog(replace(cluster_of(settings), prefix=prefix)))


def ways(secured: Secured) -> dict[str, dict[str, Any]]:
    """By name: settings that get in."""
    files = secured.files
    locked = {"kafka_ssl_certfile": str(files.locked), "kafka_ssl_password": OF_THE_KEY}
    return {
        "scram": secured.settings(),
        "plain": secured.settings(kafka_sasl_mechanism="PLAIN"),
        "certificate": secured.without_sasl(),
        "a locked key": secured.without_sasl(**locked),
        "any host": secured.settings(
            kafka_bootstrap_servers=secured.sasl.replace("127.0.0.1", "localhost"),
            kafka_ssl_check_hostname=False,
        ),
        "scram 256 without TLS": secured.settings(
            kafka_bootstrap_servers=secured.bare,
            kafka_security_protocol="SASL_PLAINTEXT",
            kafka_sasl_mechanism="SCRAM-SHA-256",
            kafka_ssl_cafile=None,
        ),
    }


@pytest.mark.parametrize(
    "way", ["scram", "plain", "certificate", "a locked key", "any host", "scram 256 without TLS"]
)
def test_the_right_settings_get_in(secured: Secured, way: str) -> None:
    twin = twin_of(ways(secured)[way], f"{way.replace(' ', '-')}.")
    try:
        log = twin.open()
        places = log.append(EVENTS, [Entry(value=b"%d" % n, key="acme") for n in range(10)]).result(WAIT_S)
        assert log.ready()
        reader = twin.reader(log, EVENTS)
        assert [(r.partition, r.offset) for r in reader.read(10)] == places
        assert [r.value for r in log.read(EVENTS, *places[0])] == [b"%d" % n for n in range(10)]
    finally:
        twin.close()


def refusals(secured: Secured) -> dict[str, tuple[dict[str, Any], str]]:
    """By name: settings that do not get in, and what the error says (a pattern)."""
    stranger = str(secured.files.stranger)
    open_door = {"kafka_security_protocol": "PLAINTEXT", "kafka_ssl_cafile": None, "kafka_ssl_certfile": None}
    return {
        "password": (secured.settings(kafka_sasl_password="wrong"), r"TOUCHLINE_KAFKA_SASL_PASSWORD"),
        "user": (
            secured.settings(kafka_sasl_username="nobody", kafka_sasl_mechanism="PLAIN"),
            r"TOUCHLINE_KAFKA_SASL_USERNAME",
        ),
        "mechanism": (
            secured.settings(kafka_sasl_mechanism="SCRAM-SHA-256"),
            r"TOUCHLINE_KAFKA_SASL_MECHANISM=SCRAM-SHA-256",
        ),
        "authority": (
            secured.settings(kafka_ssl_cafile=stranger),
            r"unable to get local issuer.*TOUCHLINE_KAFKA_SSL_CAFILE",
        ),
        "the system's authorities": (
            secured.settings(kafka_ssl_cafile=None),
            r"unable to get local issuer.*TOUCHLINE_KAFKA_SSL_CAFILE",
        ),
        "host": (
            secured.settings(kafka_bootstrap_servers=secured.sasl.replace("127.0.0.1", "localhost")),
            r"not valid for 'localhost'.*TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS",
        ),
        "no certificate": (
            secured.without_sasl(kafka_ssl_certfile=None),
            r"TOUCHLINE_KAFKA_SSL_CERTFILE",
        ),
        "plain client": (
            secured.without_sasl(**open_door),
            r"TOUCHLINE_KAFKA_SECURITY_PROTOCOL=PLAINTEXT",
        ),
        "no SASL": (
            secured.without_sasl(kafka_bootstrap_servers=secured.sasl),
            r"TOUCHLINE_KAFKA_SECURITY_PROTOCOL=SSL",
        ),
        "no TLS": (
            secured.settings(kafka_security_protocol="SASL_PLAINTEXT", kafka_ssl_cafile=None),
            r"TOUCHLINE_KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT",
        ),
        "TLS at a plain door": (
            secured.settings(kafka_bootstrap_servers=secured.plain),
            r"TOUCHLINE_KAFKA_SECURITY_PROTOCOL=SASL_SSL",
        ),
    }


@pytest.mark.parametrize(
    "case",
    [
        "password",
        "user",
        "mechanism",
        "authority",
        "the system's authorities",
        "host",
        "no certificate",
        "plain client",
        "no SASL",
        "no TLS",
        "TLS at a plain door",
    ],
)
def test_what_is_wrong_is_named(secured: Secured, case: str) -> None:
    given, pattern = refusals(secured)[case]
    twin = twin_of(given, "refused.")
    try:
        log = twin.open()
        assert not log.ready()
        with pytest.raises(LogUnavailable, match=pattern) as caught:
            log.append(EVENTS, [Entry(value=b"x")]).result(WAIT_S)
        assert PASSWORD not in caught.value.message
        with pytest.raises(LogUnavailable, match=pattern):
            log.end_offsets(EVENTS)
        reader = twin.reader(log, EVENTS)
        with structlog.testing.capture_logs() as said:
            assert reader.poll(0.1) == []
        assert [line["event"] for line in said] == ["log.away"]
    finally:
        twin.close()


def test_every_way_and_every_refusal_is_tried(secured: Secured) -> None:
    (tried,) = test_the_right_settings_get_in.pytestmark  # type: ignore[attr-defined]
    assert tried.args[1] == list(ways(secured))
    (mark,) = test_what_is_wrong_is_named.pytestmark  # type: ignore[attr-defined]
    assert mark.args[1] == list(refusals(secured))


def test_serving_with_a_wrong_password(secured: Secured, tmp_path: Path) -> None:
    """Alive, not ready, 503 with Retry-After within 10 s; and with the right one all is well."""
    common = {"data_dir": tmp_path, "port": 0, "secret_key": "sixteen letters!!", "partitions": PARTITIONS}
    key = ""
    for password, ready in (("wrong", 503), (PASSWORD, 200)):
        given = secured.settings(kafka_sasl_password=password)
        with running(load_settings(**common, **given), ["ingest"]) as (rooms, url):
            key = key or create_key(rooms.db, rooms.clock, "client", ["events:write"])
            assert call(f"{url}/healthz")[0] == 200
            wait_until("it says so", lambda url=url, ready=ready: call(f"{url}/readyz")[0] == ready, WAIT_S)
            status, _, body = call(f"{url}/readyz")
            assert (status, body["checks"]["log"]) == (ready, ready == 200)
            began = time.monotonic()
            status, headers, body = call(f"{url}/v1/events", key, {"type": "login", "account": "acme"})
            assert time.monotonic() - began < 10.0  # the promise itself
            if ready == 200:
                assert (status, body["accepted"]) == (202, 1)
            else:
                assert (status, body["code"]) == (503, "log_unavailable")
                assert "Retry-After" in headers


def call(url: str, key: str = "", body: object = None) -> tuple[int, Message, dict[str, Any]]:
    """Status, headers and JSON of a GET, or of a POST where there is a body."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, json.load(error)


@pytest.mark.parametrize("name", ["cafile", "certfile", "keyfile"])
def test_a_file_that_is_not_there_stops_the_start(secured: Secured, tmp_path: Path, name: str) -> None:
    given = secured.without_sasl(**{f"kafka_ssl_{name}": str(tmp_path / "none.pem")})
    with pytest.raises(
        ConfigurationError, match=rf"TOUCHLINE_KAFKA_SSL_{name.upper()}: .*none\.pem: No such"
    ):
        open_log(load_settings(**given))


def test_files_that_hold_something_else_stop_the_start(secured: Secured, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    with pytest.raises(ConfigurationError, match=r"TOUCHLINE_KAFKA_SSL_CAFILE: .* no certificate in PEM"):
        open_log(load_settings(**secured.settings(kafka_ssl_cafile=str(wrong))))
    other_key = secured.without_sasl(kafka_ssl_keyfile=str(secured.files.broker))
    with pytest.raises(ConfigurationError, match=r"TOUCHLINE_KAFKA_SSL_KEYFILE.*: KEY_VALUES_MISMATCH"):
        open_log(load_settings(**other_key))
