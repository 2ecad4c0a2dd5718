"""`touchline apply` of a brand, of which there is one."""

from pathlib import Path

import pytest

from tests.unit.cli.fake import Fake
from tests.unit.cli.test_apply import write


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fake:
    """An empty server."""
    return Fake(monkeypatch, capsys)


def test_a_brand_is_replaced_without_a_question(server: Fake, tmp_path: Path) -> None:
    brand = "kind: brand\nname: {}\npostal_address: 1 Main Street\n"
    folder = write(tmp_path, brand=brand.format("Acme"))
    code, out, _ = server.touchline("apply", folder)
    assert (code, out.splitlines()[0], server.calls) == (0, "created   brand", ["PUT brand"])
    write(tmp_path, brand=brand.format("Umbrella"))
    code, out, err = server.touchline("apply", folder)
    assert (code, out.splitlines()[0], err) == (0, "updated   brand", "")
    assert server.touchline("apply", folder)[1].splitlines()[-1] == "1 unchanged"
    write(tmp_path, brand=brand.format("Umbrella") + "colour: red\n")
    code, _, err = server.touchline("apply", folder)
    assert code == 1
    assert "brand.yaml:4: brand: colour: must be a colour such as #0b5cad" in err
