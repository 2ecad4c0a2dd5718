"""What a run writes: shares, goals, and tables; a run of one path leaves the others' figures alone."""

import json
from pathlib import Path

import pytest

from bench import report
from bench.flame import Frame
from bench.measure import Result, paired
from bench.report import filled

PAGE = "# Page\n\n<!-- goals -->\n<!-- /goals -->\n\ntext\n<!-- peers -->\nold\n<!-- /peers -->\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "page.md").write_text(PAGE)
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(report, "PAGE", tmp_path / "page.md")
    return tmp_path


def test_a_rate_is_held_against_its_share_and_a_latency_against_its_value() -> None:
    rate = Result("memory", 40.0, "events/s", 10, 100.0)
    assert (rate.share, rate.goal, rate.met) == (0.4, 0.4, True)
    latency = Result("latency_kafka", 101.0, "ms p50", None, 3.0)
    assert (latency.share, latency.goal, latency.met) == (None, 100, False)


def test_less_is_better_for_costs() -> None:
    assert Result("idle_rules", 6.0, "µs/event", 10_000, 5.0).met is True
    assert Result("idle_rules", 7.0, "µs/event", 10_000, 5.0).met is False


def test_a_peer_and_a_sweep_have_no_goal() -> None:
    assert Result("memory", 40.0, "events/s", 10, 100.0, peer="Bytewax").goal is None
    assert Result("growth", 4.0, "µs an event", at="accounts 200").met is None


def test_sides_are_taken_in_turn_and_every_repeat_is_kept() -> None:
    order: list[str] = []
    sides = {"ours": iter([1.0, 9.0, 2.0]), "floor": iter([4.0, 3.0, 5.0])}

    def side(name: str) -> float:
        order.append(name)
        return next(sides[name])

    ours, floor, raw = paired(lambda: side("ours"), lambda: side("floor"))
    assert order == ["floor", "ours"] * 3
    assert (ours, floor) == (2.0, 4.0)
    assert raw == {"ours": [1.0, 9.0, 2.0], "floor": [4.0, 3.0, 5.0]}


def test_one_path_alone_keeps_what_was_measured_of_the_others(folder: Path) -> None:
    order = ["memory", "mails", "soak"]
    first = [Result("memory", 40.0, "events/s", 10, 100.0), Result("mails", 5.0, "mails/s", None, 10.0)]
    first += [Result("soak", 50.0, "MB", None, 49.0), Result("memory", 9.0, "events/s", 10, 100.0, peer="P")]
    report.write(first, 100.0, order, quick=False)
    report.write([Result("mails", 6.0, "mails/s", None, 10.0)], 100.0, order, quick=False)
    document = json.loads((folder / "latest.json").read_text())
    assert [(row["path"], row["value"]) for row in document["results"]] == [("memory", 40.0), ("mails", 6.0)]
    assert [(row["path"], row.get("peer", "")) for row in document["more"]] == [("memory", "P"), ("soak", "")]
    page = (folder / "page.md").read_text()
    assert filled(page, report.load(folder / "latest.json")) == page
    assert "| mails |  | 60% (6.0 mails/s) | ≥ 50% | met |" in page
    assert "old" not in page
    assert (folder / "latest.svg").read_text().startswith("<svg")


def test_a_quick_look_leaves_the_figures_and_the_page_alone(folder: Path) -> None:
    report.write([Result("mails", 6.0, "mails/s", None, 10.0)], 100.0, ["mails"], quick=True)
    assert (folder / "page.md").read_text() == PAGE
    assert not (folder / "latest.json").exists()
    assert (folder / "quick.json").exists()


def test_stacks_are_added_up_by_caller() -> None:
    root = Frame()
    root.add(["a", "b"], 3)
    root.add(["a"], 2)
    root.add(["c"], 1)
    assert root.samples == 6
    assert {name: each.samples for name, each in root.below.items()} == {"a": 5, "c": 1}
    assert root.below["a"].below["b"].samples == 3
