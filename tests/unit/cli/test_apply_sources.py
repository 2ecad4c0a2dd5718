"""`touchline apply` of sources: secrets come from the environment, and only the server can compare them."""

from pathlib import Path

import pytest

from tests.unit.cli.fake import Fake
from tests.unit.cli.test_apply import write

BILLING = """kind: source
name: billing
verify: {scheme: stripe, secret: "${BILLING_SECRET}"}
events: [{type: paid, account: {external_id: customer}}]
"""
STORED = {
    "verify": {"scheme": "stripe", "secret": "***"},
    "events": [{"type": "paid", "account": {"external_id": "customer"}}],
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fake:
    """An empty server."""
    monkeypatch.delenv("BILLING_SECRET", raising=False)
    return Fake(monkeypatch, capsys)


def test_a_secret_comes_from_the_environment(
    server: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path, billing=BILLING)
    monkeypatch.setenv("BILLING_SECRET", "shh")
    code, out, err = server.touchline("apply", folder)
    assert (code, out.splitlines()[0], server.calls) == (
        0,
        "created   source billing",
        ["PUT sources/billing"],
    )
    assert server.documents["/v1/sources/billing"]["verify"] == {"scheme": "stripe", "secret": "shh"}
    assert "shh" not in out + err


@pytest.mark.parametrize("value", [None, ""])
def test_a_variable_that_is_not_set_is_named_with_its_line(
    server: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is not None:
        monkeypatch.setenv("BILLING_SECRET", value)
    code, _, err = server.touchline("apply", write(tmp_path, billing=BILLING))
    assert (code, server.calls) == (1, [])
    assert "billing.yaml:3: source billing: verify.secret: the variable BILLING_SECRET is not set" in err


def test_only_the_server_can_compare_secrets(
    server: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path, billing=BILLING)
    monkeypatch.setenv("BILLING_SECRET", "shh")
    server.save("/v1/sources/billing", **STORED)
    assert server.touchline("apply", folder)[1].splitlines()[-1] == "1 unchanged"
    server.others = {"billing"}
    _, out, _ = server.touchline("apply", "--dry-run", folder)
    assert "the secrets are not those on the server" in out
    assert server.touchline("apply", folder)[1].splitlines()[0] == "updated   source billing"


def test_what_export_writes_can_be_applied(server: Fake, tmp_path: Path) -> None:
    server.save("/v1/sources/billing", **STORED)
    assert server.touchline("export", str(tmp_path))[0] == 0
    assert "secret: '***'" in (tmp_path / "sources" / "billing.yaml").read_text()
    assert server.touchline("apply", str(tmp_path / "sources"))[1].splitlines()[-1] == "1 unchanged"
