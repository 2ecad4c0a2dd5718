"""The demo's purchase log."""

from pathlib import Path

import pytest

from backbone.errors import ConfigurationError
from services.cli.demo import EXAMPLES, read_log


def test_the_whole_log_is_read_in_the_order_of_time() -> None:
    purchases = read_log(EXAMPLES / "CDNOW_sample.txt")
    assert len(purchases) == 6919
    assert len({purchase.customer for purchase in purchases}) == 2357
    times = [purchase.at for purchase in purchases]
    assert times == sorted(times)


def test_an_installation_without_the_log_says_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="in a checkout"):
        read_log(tmp_path / "none.txt")
