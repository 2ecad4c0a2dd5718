"""The demo: its purchase log, its headline, its bar, its port."""

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backbone.errors import ConfigurationError
from backbone.settings import load_settings
from deploy.local.ports import free_ports
from services.cli.demo import played_until
from services.cli.demo_log import EXAMPLES, Purchase, read_log
from services.cli.demo_server import free_port
from services.cli.demo_story import headline


def test_the_whole_log_is_read_in_the_order_of_time() -> None:
    purchases = read_log(EXAMPLES / "CDNOW_sample.txt")
    assert len(purchases) == 6919
    assert len({purchase.customer for purchase in purchases}) == 2357
    times = [purchase.at for purchase in purchases]
    assert times == sorted(times)


def test_an_installation_without_the_log_says_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="in a checkout"):
        read_log(tmp_path / "none.txt")


def purchase(customer: str, day: int) -> Purchase:
    return Purchase(customer, datetime(1997, 1, 1, tzinfo=UTC) + timedelta(days=day), 1, 10.0)


def quiet(customer: str, day: int, rule: str = "gone-quiet") -> dict[str, Any]:
    return {"rule": rule, "account": customer, "at": purchase(customer, day).at.isoformat()}


def test_the_headline_counts_customers_after_their_first_touch() -> None:
    purchases = [
        *(purchase("soon", day) for day in (0, 160)),
        *(purchase("late", day) for day in (0, 161, 400)),
        *(purchase("before", day) for day in (0, 99)),
        *(purchase("busy", day) for day in (0, 5, 300)),
    ]
    triggers = [quiet("soon", 100), quiet("late", 100), quiet("late", 390), quiet("before", 100)]
    said = headline(purchases, [*triggers, quiet("busy", 1, rule="big-spender")])
    assert said == (
        "Of 4 customers 3 went quiet at least once. 1 of these bought again within 60 days of the first touch, "
        "2 by the end."
    )


def test_the_bar_goes_by_the_slowest_service_and_never_back() -> None:
    begin = datetime(1997, 1, 1, tzinfo=UTC)

    def status(*clocks: str | None) -> dict[str, Any]:
        return {"services": {"ingest": {}, **{str(n): {"clock": clock} for n, clock in enumerate(clocks)}}}

    assert played_until(status("1997-03-01T00:00:00Z", "1997-02-01T00:00:00Z"), begin).month == 2
    assert played_until(status("1997-03-01T00:00:00Z", None), begin) == begin
    assert played_until(status("1996-03-01T00:00:00Z"), begin) == begin
    assert played_until(status(), begin) == begin


def test_a_port_in_use_is_left_to_whom_it_belongs() -> None:
    port = free_ports(3)
    with socket.create_server(("127.0.0.1", port)), socket.create_server(("127.0.0.1", port + 1)):
        assert free_port(load_settings(port=port)) == port + 2
    assert free_port(load_settings(port=port)) == port
