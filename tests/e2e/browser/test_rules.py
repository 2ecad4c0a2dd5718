"""A rule in the browser: written, backtested, put into force, started for whom it concerns, looked at by anybody."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser.browsing import (
    NARROW,
    PATIENCE_MS,
    WIDE,
    Browse,
    Site,
    axe,
    no_sideways_scroll,
    open_site,
    screenshot,
)

RULE = {
    "name": "spike",
    "when": {
        "threshold": {"event": "ticket.opened", "within": "30d", "at_least": {"high": 3, "low": 4, "tech": 8}}
    },
    "cooldown": "1d",
    "playbook": "call",
}
CALL = {"id": "call", "task": {"title": "Call {{ account.id }}", "assignee": "jo@us.test"}}
BOOK = {"name": "call", "steps": {tier: [CALL] for tier in ("high", "low", "tech")}}
LOOKS = [(WIDE, False), (NARROW, True)]  # each page takes axe a second or more


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Ten accounts with ever more tickets, and a rule that is in shadow."""
    with open_site(tmp_path_factory.mktemp("rules")) as site:
        site.call("POST", "/v1/playbooks", json=BOOK)
        site.call("POST", "/v1/rules", json={**RULE, "status": "shadow"})
        begin = datetime.now(UTC) - timedelta(days=5)
        events = [
            {
                "type": "ticket.opened",
                "account": f"account {number}/é",
                "id": f"{number}-{ticket}",
                "time": (begin + timedelta(hours=10 * ticket, minutes=number)).isoformat(),
            }
            for ticket in range(10)
            for number in range(ticket, 10)
        ]
        site.call("POST", "/v1/events", json=events)
        deadline = time.monotonic() + PATIENCE_MS / 1000
        while len(site.call("GET", "/v1/rules/spike/matches")["items"]) < 2:
            assert time.monotonic() < deadline, "nobody matches"
            time.sleep(0.05)
        yield site


def heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_contain_text(text)


def fit_for_all(page: Page, name: str) -> None:
    """Nothing serious, wide and narrow, light and dark."""
    for size, dark in LOOKS:
        page.emulate_media(color_scheme="dark" if dark else "light")
        page.set_viewport_size(size)
        axe(page)
        no_sideways_scroll(page)
        screenshot(page, f"{name}-{size['width']}-{'dark' if dark else 'light'}")


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_a_rule_is_written_backtested_and_activated(site: Site, browse: Browse, script: bool) -> None:
    name = "written" if script else "written-plainly"
    page = browse("/rules", script=script)
    page.get_by_role("link", name="New rule").click()
    page.get_by_role("link", name="Something happens often enough").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Events", exact=True).fill("ticket.opened")
    limit = page.get_by_role("group", name="Fires when it is").get_by_label("All tiers")
    limit.fill("many")
    if not script:
        page.get_by_role("button", name="Check").click()
    expect(page.locator("#checked")).to_contain_text("must be a number")
    limit.fill("6")
    if not script:
        page.get_by_role("button", name="Check").click()
    expect(page.locator("#checked")).to_contain_text("is at least 6")
    expect(page.get_by_role("textbox", name="YAML")).to_have_value(re.compile("at_least: 6"))
    yaml = page.get_by_role("textbox", name="YAML").input_value()
    page.get_by_role("textbox", name="YAML").fill(yaml.replace("at_least: 6", "at_least: 7"))
    if not script:
        page.get_by_role("button", name="Check").click()
    expect(limit).to_have_value("7")
    with page.expect_popup() as opened:
        page.get_by_role("button", name="Backtest it as it is here").click()
    expect(opened.value.get_by_text("It would have fired")).to_be_visible()
    expect(opened.value.get_by_role("heading", level=1)).to_contain_text("not saved")
    if script:
        fit_for_all(opened.value, "rule-unsaved")
    opened.value.close()
    assert all(one["name"] != name for one in site.call("GET", "/v1/rules")["items"]), "nothing is saved yet"
    page.get_by_role("button", name="Save", exact=True).click()
    heading(page, name)
    expect(page.get_by_role("status")).to_contain_text("It is a draft")

    page.get_by_role("link", name="Activate").click()
    expect(page.get_by_text("Nobody knows yet whom this would concern")).to_be_visible()
    page.get_by_role("link", name="Backtest it first").click()
    page.get_by_role("button", name=f"Backtest {name}").click()
    expect(page.get_by_text("It would have fired")).to_be_visible()
    expect(page.get_by_role("img", name="Triggers by day")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("^Triggers: "))).to_be_visible()

    page.get_by_role("link", name="Overview").click()
    page.get_by_role("link", name="Activate").click()
    expect(page.get_by_text("at the end of its backtest")).to_be_visible()
    page.get_by_role("button", name="Activate").click()
    expect(page.get_by_role("status")).to_contain_text(f"{name} is active now.")
    assert site.call("GET", f"/v1/rules/{name}")["status"] == "active"
    page.locator("summary", has_text="Pause").click()
    page.get_by_label("They are held").check()
    page.get_by_role("button", name=f"Pause {name}").click()
    expect(page.get_by_role("status")).to_contain_text("paused now")
    assert site.call("GET", f"/v1/rules/{name}")["plays"] == "hold"


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_several_things_that_come_together(browse: Browse, script: bool) -> None:
    page = browse("/rules/-/new?kind=all_of", script=script)

    def check() -> None:
        if not script:
            page.get_by_role("button", name="Check").click()

    yaml = page.get_by_role("textbox", name="YAML")
    page.get_by_label("One more part").select_option("becomes")
    check()
    expect(page.get_by_role("group", name="Part 3")).to_be_visible()
    expect(yaml).to_have_value(re.compile("becomes:"))
    page.get_by_role("group", name="Part 2", exact=True).get_by_label(
        "What comes together here"
    ).select_option("")
    check()
    expect(page.get_by_role("group", name="Part 3")).to_have_count(0)
    expect(yaml).not_to_have_value(re.compile("absence:"))
    part = page.get_by_role("group", name="Part 1", exact=True)
    part.get_by_label("How it counts").first.select_option("not")
    part.get_by_label("Path").first.fill("data.kind")
    part.get_by_label("Value").first.fill("spam")
    page.locator("summary", has_text="Unless something held it back").click()
    page.get_by_label("Events that hold it back").fill("call.held")
    check()
    expect(yaml).to_have_value(re.compile(r"not:\s+data.kind: spam"))
    expect(yaml).to_have_value(re.compile(r"unless:\s+threshold:\s+event: call.held\s+at_least: 1"))
    expect(page.locator("#checked")).to_contain_text("It does not fire if the number of call.held")
    if script:
        fit_for_all(page, "rule-all-of")


def test_a_deleted_rule_is_brought_back(site: Site, browse: Browse) -> None:
    site.call("PUT", "/v1/rules/short", json={"when": RULE["when"]})
    page = browse("/rules/short")
    page.locator("summary", has_text="Delete").click()
    page.get_by_role("button", name="Delete short").click()
    expect(page.get_by_role("status")).to_contain_text("The rule short was deleted")
    expect(page.get_by_text("Deleted by")).to_be_visible()
    fit_for_all(page, "rule-deleted")
    page.locator("summary", has_text="Bring it back").click()
    page.get_by_role("button", name="Bring back version 1").click()
    expect(page.get_by_role("status")).to_contain_text("short is back, as version 1 has it.")
    assert site.call("GET", "/v1/rules/short")["status"] == "draft"


def test_those_who_match_are_started_after_a_look(site: Site, browse: Browse) -> None:
    page = browse("/rules/spike/matches")
    page.get_by_role("button", name="See what starting these").click()
    expect(page.get_by_text("Nothing was started yet.")).to_be_visible()
    expect(page.get_by_text("The rule is in shadow")).to_be_visible()


def test_a_backtest_tells_the_tasks_of_people(site: Site, browse: Browse) -> None:
    page = browse("/rules/spike/backtest")
    page.get_by_role("button", name="Backtest spike").click()
    expect(page.get_by_text("It would have fired")).to_be_visible()
    page.get_by_role("button", name="Rehearse").first.click()
    expect(page.get_by_role("cell", name="jo@us.test")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("^Tasks in the busiest week"))).to_be_visible()
    fit_for_all(page, "backtest")


def test_pages_of_rules_are_fit_for_all(site: Site, browse: Browse) -> None:
    page = browse("/rules")
    for path in (
        "",
        "/spike",
        "/spike/matches",
        "/spike/backtest",
        "/spike/versions",
        "/spike/edit",
        "/spike/activate",
    ):
        page.goto(f"/rules{path}")
        fit_for_all(page, path.strip("/").replace("/", "-") or "rules")
