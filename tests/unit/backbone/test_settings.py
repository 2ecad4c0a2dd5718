import stat
from pathlib import Path
from typing import Any

import pytest

from backbone.data_folder import make_data_dir, read_private, secret_key, write_private
from backbone.errors import ConfigurationError
from backbone.settings import load_settings, unknown_settings, variables


def test_defaults_are_embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    assert settings.embedded
    assert settings.base_url == "http://127.0.0.1:8080"
    assert settings.url == f"sqlite:///{tmp_path}/data/touchline.db"
    assert settings.log_retention == 90 * 86_400 * 1_000_000


def test_environment_and_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("TOUCHLINE_PORT=9000\nTOUCHLINE_CLOCK=LOG\n")
    monkeypatch.setenv("TOUCHLINE_PORT", "9001")
    monkeypatch.setenv("TOUCHLINE_WEBHOOK_ALLOWED_NETWORKS", "10.0.0.0/8, ::1/128")
    settings = load_settings()
    assert (settings.port, settings.clock) == (9001, "log")
    assert [str(net) for net in settings.webhook_allowed_networks] == ["10.0.0.0/8", "::1/128"]


def test_every_wrong_setting_is_named() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(
            port=-1, clock="sun", log_retention="soon", database_url="mysql://x", smtp_url="http://x"
        )
    for name in ("PORT", "CLOCK", "LOG_RETENTION", "DATABASE_URL", "SMTP_URL"):
        assert f"TOUCHLINE_{name}: " in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("smtp_url", "smtp://mail.test:mail"),
        ("smtp_url", "smtps://mail.test:70000"),
        ("public_url", "https://us.test:https"),
        ("database_url", "postgresql://u:p@h:port/touchline"),
        ("database_url", "sqlite:"),
        ("sender", "nonsense"),
        ("sender", "Jo <jo at us.test>"),
        ("sender", ""),
    ],
)
def test_an_address_that_is_none_stops_the_start(name: str, value: str) -> None:
    """It showed at the first mail only, or in a traceback, or as a delivery loop that stood still."""
    with pytest.raises(ConfigurationError, match=f"TOUCHLINE_{name.upper()}: should"):
        load_settings(**{name: value})


@pytest.mark.parametrize(
    "sender", ["touchline@localhost", "Jo Doe <jo@us.test>", '"Doe, Jo" <jo@us.example.com>']
)
def test_senders(sender: str) -> None:
    assert (
        load_settings(sender=sender, smtp_url="smtp://h:25", public_url="https://[2001:db8::1]:8083").sender
        == sender
    )


@pytest.mark.parametrize("host", ["mail.test", "10.0.0.5", "localhost.test"])
@pytest.mark.parametrize(
    "public", ["", "http://touch.us.test", "https://localhost:8083", "https://127.0.0.1", "https://[::1]"]
)
def test_mails_whose_links_lead_nowhere_are_refused(host: str, public: str) -> None:
    with pytest.raises(ConfigurationError, match="TOUCHLINE_PUBLIC_URL: should be the https"):
        load_settings(smtp_url=f"smtp://{host}", public_url=public)
    load_settings(smtp_url=f"smtp://{host}", public_url="https://touch.us.test")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:2525", "[::1]", "mail.localhost"])
def test_a_mail_server_of_this_machine_may_have_links_to_it(host: str) -> None:
    load_settings(smtp_url=f"smtp://{host}")


def test_a_file_of_authorities_is_one(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_text("nothing")
    for path in (empty, tmp_path / "none.pem", tmp_path):
        with pytest.raises(ConfigurationError, match="TOUCHLINE_SMTP_CA_FILE: should be a PEM file"):
            load_settings(smtp_ca_file=path)


@pytest.mark.parametrize("name", ["", "mail.us.test", "a"])
def test_a_name_to_greet_with(name: str) -> None:
    load_settings(smtp_ehlo=name or None)


@pytest.mark.parametrize("name", ["with space", "a\r\nMAIL", "-a", "a_b", "x" * 256])
def test_no_name_to_greet_with(name: str) -> None:
    with pytest.raises(ConfigurationError, match="TOUCHLINE_SMTP_EHLO: "):
        load_settings(smtp_ehlo=name)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600)]
)
def test_retention_is_a_duration(text: str, seconds: int) -> None:
    assert load_settings(log_retention=text).log_retention == seconds * 1_000_000


def test_postgresql_urls_get_the_driver() -> None:
    settings = load_settings(database_url="postgresql://u:p@h/d")
    assert settings.url == "postgresql+psycopg://u:p@h/d"
    assert not settings.embedded


SASL = {
    "kafka_security_protocol": "sasl_ssl",
    "kafka_sasl_mechanism": "scram-sha-512",
    "kafka_sasl_username": "touchline",
    "kafka_sasl_password": "hunter2",
}


def test_kafka_security() -> None:
    settings = load_settings(**SASL, kafka_ssl_cafile="ca.pem")
    assert (settings.kafka_security_protocol, settings.kafka_sasl_mechanism) == ("SASL_SSL", "SCRAM-SHA-512")
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize("missing", sorted(set(SASL) - {"kafka_security_protocol"}))
def test_sasl_needs_all_three(missing: str) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"^TOUCHLINE_{missing.upper()}: is required with .*SASL_SSL$"
    ):
        load_settings(**{name: value for name, value in SASL.items() if name != missing})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kafka_sasl_password": "p"}, r"TOUCHLINE_KAFKA_SASL_PASSWORD: has no meaning with .*=PLAINTEXT$"),
        (
            {**SASL, "kafka_security_protocol": "SSL"},
            r"TOUCHLINE_KAFKA_SASL_USERNAME: has no meaning with .*=SSL",
        ),
        (
            {**SASL, "kafka_security_protocol": "SASL_PLAINTEXT", "kafka_ssl_cafile": "x"},
            r"^\S+SSL_CAFILE: has no",
        ),
        (
            {"kafka_security_protocol": "SSL", "kafka_ssl_keyfile": "x"},
            r"needs TOUCHLINE_KAFKA_SSL_CERTFILE$",
        ),
        ({**SASL, "kafka_sasl_mechanism": "GSSAPI"}, r"^TOUCHLINE_KAFKA_SASL_MECHANISM: should be 'PLAIN', "),
        ({"kafka_bootstrap_servers": "a:9092,b"}, r"^TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS: .* host:port.*: b$"),
    ],
)
def test_kafka_settings_that_do_not_go_together(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_settings(**given)


@pytest.mark.parametrize("servers", ["a:9092", "a.b-c_d:1, [::1]:9092,127.0.0.1:65535,"])
def test_bootstrap_servers(servers: str) -> None:
    assert load_settings(kafka_bootstrap_servers=servers).kafka_bootstrap_servers == servers


def test_misspelt_settings_are_found() -> None:
    environ = {"TOUCHLINE_PRT": "1", "TOUCHLINE_PORT": "1", "TOUCHLINE_URL": "x", "HOME": "x"}
    assert unknown_settings(environ) == ["TOUCHLINE_PRT"]


def test_secret_key_is_made_once_when_embedded(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path / "d")
    key = secret_key(settings)
    assert len(key) >= 32
    assert secret_key(settings) == key
    assert stat.S_IMODE((tmp_path / "d" / "secret.key").stat().st_mode) == 0o600
    assert secret_key(load_settings(secret_key="sixteen letters!!")) == b"sixteen letters!!"
    with pytest.raises(ConfigurationError, match="TOUCHLINE_SECRET_KEY"):
        secret_key(load_settings(database_url="postgresql://h/d"))


def test_secrets_do_not_show(tmp_path: Path) -> None:
    settings = load_settings(secret_key="sixteen letters!!", smtp_url="smtp://u:hunter2@localhost")
    assert "hunter2" not in repr(settings)
    assert "sixteen" not in repr(settings)


def test_private_files(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_private(path, "a")
    write_private(path, "b")
    assert path.read_text() == "b"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["x"]


def test_a_data_dir_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="TOUCHLINE_DATA_DIR"):
        make_data_dir(load_settings(data_dir=tmp_path / "file"))


def test_origins_of_pages() -> None:
    given = "https://App.acme.test/, http://localhost:3000,https://[::1]:8443,"
    found = load_settings(cors_origins=given).cors_origins
    assert found == ("https://app.acme.test", "http://localhost:3000", "https://[::1]:8443")
    assert load_settings().cors_origins == ()


@pytest.mark.parametrize(
    "origins", ["*", "app.acme.test", "https://a.test/path", "ftp://a.test", "null", "https://*.a.test"]
)
def test_what_is_no_origin_stops_the_start(origins: str) -> None:
    with pytest.raises(ConfigurationError, match=r"TOUCHLINE_CORS_ORIGINS: should be http\(s\)://host"):
        load_settings(cors_origins=origins)


def test_misspelt_names_in_the_env_file_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("TOUCHLINE_PROT=9000\nOTHER=1\nTOUCHLINE_URL=http://a.test\n")
    assert unknown_settings() == ["TOUCHLINE_PROT"]
    monkeypatch.setenv("TOUCHLINE_URL", "http://b.test")
    assert variables()["TOUCHLINE_URL"] == "http://b.test"


@pytest.mark.parametrize(
    ("line", "number"), [("TOUCHLINE PORT 9000", 2), ("=x", 2), ("TOUCHLINE_PORT='9000", 2)]
)
def test_a_line_of_the_env_file_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, number: int
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"TOUCHLINE_CLOCK=log\n{line}\n")
    with pytest.raises(
        ConfigurationError, match=rf"^\.env: could not parse statement starting at line {number}$"
    ):
        load_settings()


@pytest.mark.parametrize(
    ("text", "said"), [("\n", "is empty"), ("short\n", "is damaged"), ("a b" * 9, "is damaged")]
)
def test_a_private_file_that_holds_none(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "secret.key"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=rf"secret\.key {said}: do that$"):
        read_private(path, "do that", least=16)
    path.write_text("sixteen-letters!\n")
    assert read_private(path, "do that", least=16) == "sixteen-letters!"
