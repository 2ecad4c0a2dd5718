"""The SMTP server hangs up at each phase: no mail goes out twice, and what is uncertain is recorded as that."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.smtp_drops import PHASES, check, drop
from tests.services.delivery.kit import House


@pytest.mark.parametrize("phase", PHASES)
def test_a_server_that_hangs_up(tmp_path: Path, phase: str) -> None:
    house = House(tmp_path)
    try:
        check(phase, 10, drop(house, phase, 10))
    finally:
        house.close()
