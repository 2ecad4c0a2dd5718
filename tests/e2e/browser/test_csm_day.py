"""The day of somebody who looks after customers: tasks one after the other, and a customer from end to end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from backbone.web.api_keys import create_key
from tests.e2e.browser.browsing import (
    NARROW,
    WIDE,
    Browse,
    Site,
    axe,
    no_sideways_scroll,
    open_site,
    screenshot,
)
from tests.e2e.stack import until

ODD = "a/b <b>'s %2F"  # an account whose id needs care
PATH = "/accounts/a%2Fb%20%3Cb%3E%27s%20%252F"
PLAYBOOK = {
    "name": "rescue",
    "steps": [
        {"email": {"template": "sorry"}},
        {
            "task": {
                "title": "Call {{ account.name }}",
                "body": "Say sorry.",
                "assignee": "owner",
                "due": "1d",
            }
        },
        {"wait": "7d"},
    ],
}
RULE = {
    "name": "unhappy", "status": "active", "playbook": "rescue",
    "when": {"threshold": {"event": "ticket.opened", "at_least": 2, "within": "30d"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A customer with a history, another one to erase, and tasks that are due on several days."""
    with open_site(tmp_path_factory.mktemp("site")) as opened:
        _fill(opened)
        yield opened


@pytest.fixture(scope="module")
def jo(site: Site) -> str:
    """The key of the owner of both customers."""
    return create_key(site.rooms.db, site.rooms.clock, "jo", ["admin"], "jo@us.test")


def _fill(site: Site) -> None:
    site.call(
        "POST",
        "/v1/templates",
        json={"name": "sorry", "subject": "Sorry", "markdown": "Sorry, {{ contact.name }}"},
    )
    site.call("POST", "/v1/playbooks", json=PLAYBOOK)
    site.call("POST", "/v1/rules", json=RULE)
    for id_, name in (("odd", "Acme"), ("gone", "Gone")):
        contact = {"id": "ann", "name": "Ann", "email": f"ann@{id_}.test", "roles": ["admin"]}
        body = {"name": name, "tier": "high", "owner": {"email": "jo@us.test"}, "contacts": [contact]}
        event = {"type": "account.updated", "account": ODD if id_ == "odd" else id_, "data": body}
        site.call("POST", "/v1/events", json=event)
    events = [
        {"id": f"t{n}", "type": "ticket.opened", "account": ODD, "contact": "ann", "data": {"n": n}}
        for n in range(60)
    ]
    site.call("POST", "/v1/events", json=events)
    for n in range(6):
        task = {
            "title": f"Task {n}",
            "account": ODD,
            "assignee": "jo@us.test",
            "due_at": f"2026-01-0{n + 1}T08:00:00Z",
        }
        site.call("POST", "/v1/tasks", json=task)
    until("the play", lambda: len(_tasks(site)) == 7 and site.call("GET", "/v1/status")["idle"])


def _tasks(site: Site, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.call("GET", "/v1/tasks", params={"sort": "due", **query})["items"]
    return found


def _ids(site: Site) -> dict[str, str]:
    return {task["title"]: task["id"] for task in _tasks(site)}


def _here(page: Page) -> Any:
    return page.locator("[data-row].here")


def _why(page: Page, title: str) -> Any:
    return page.locator("[data-row]", has_text=title).locator("summary .muted").first


@pytest.mark.parametrize(("size", "dark"), [(WIDE, False), (NARROW, True)], ids=["wide light", "narrow dark"])
def test_pages_are_fit_for_all(site: Site, browse: Browse, jo: str, size: ViewportSize, dark: bool) -> None:
    task = _ids(site)["Call Acme"]
    paths = {
        "tasks": "/tasks", "tasks-everyone": "/tasks/everyone", "task-new": "/tasks/new", "task": f"/tasks/{task}",
        "tasks-none": "/tasks?status=closed", "accounts": "/accounts", "accounts-none": "/accounts?q=nobody",
        "account": PATH, "account-events": f"{PATH}?kinds=events",
    }  # fmt: skip
    page = browse("/tasks", size=size, dark=dark, key=jo)
    for name, path in paths.items():
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        for closed in page.locator("main summary:visible").all()[:3]:
            closed.click()
        axe(page)
        no_sideways_scroll(page)
        screenshot(page, f"{name}-{size['width']}{'-dark' if dark else ''}")


def test_tasks_with_the_keys_alone(site: Site, browse: Browse, jo: str) -> None:
    ids = _ids(site)
    page = browse("/tasks", key=jo)
    expect(page.get_by_role("heading", name="Overdue")).to_be_visible()
    expect(_why(page, "Call Acme")).to_contain_text("ticket.opened events")  # fetched after the list
    page.keyboard.press("j")
    page.keyboard.press("e")
    note = _here(page).get_by_label("Note")
    expect(note).to_be_focused()
    expect(_here(page)).to_contain_text("ticket.opened")  # what happened lately, fetched as it opened
    page.keyboard.type("They are fine.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("status")).to_contain_text("Completed: “Task 0”.")
    expect(_here(page)).to_contain_text("Task 1")
    assert site.call("GET", f"/v1/tasks/{ids['Task 0']}")["note"] == "They are fine."
    page.keyboard.press("s")
    expect(page.get_by_role("button", name="Tomorrow").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Snoozed: “Task 1”.")
    assert site.call("GET", f"/v1/tasks/{ids['Task 1']}")["status"] == "snoozed"
    expect(_here(page)).to_contain_text("Task 2")
    for key in ("x", "j", "x", "e"):
        page.keyboard.press(key)
    expect(page.get_by_role("heading", level=1)).to_have_text("Complete 2 tasks?")
    page.get_by_role("button", name="Complete 2 tasks").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Completed 2 tasks.")
    assert {task["title"] for task in _tasks(site, status="completed")} == {"Task 0", "Task 2", "Task 3"}


def test_tasks_without_script(site: Site, browse: Browse, jo: str) -> None:
    ids = _ids(site)
    page = browse("/tasks", key=jo, script=False)
    expect(_why(page, "Call Acme")).to_have_text("By the rule unhappy.")
    page.get_by_label("Tick Task 4").check()
    page.get_by_role("button", name="Hand over…").click()
    page.get_by_label("To").fill("kim@us.test")
    page.get_by_role("button", name="Hand over").click()
    expect(page.get_by_role("status")).to_contain_text("Handed over 1 task.")
    assert site.call("GET", f"/v1/tasks/{ids['Task 4']}")["assignee"] == "kim@us.test"
    page.locator("summary", has_text="Call Acme").click()
    page.locator("[data-row]", has_text="Call Acme").get_by_role("link", name="The task by itself").click()
    expect(page.get_by_text("2 ticket.opened events")).to_be_visible()
    expect(page.get_by_role("heading", name="Mails of the same play")).to_be_visible()
    page.locator("summary", has_text="Snooze").click()
    page.get_by_role("button", name="Snooze", exact=True).click()
    browse.allow("status of 422")
    expect(page.get_by_text("Choose a day.")).to_be_visible()
    page.get_by_label("Note").fill("Reached them.")
    page.get_by_label("Outcome").fill("reached")
    page.get_by_role("button", name="Complete").click()
    expect(page.get_by_role("status")).to_contain_text("Completed: “Call Acme”.")
    done = site.call("GET", f"/v1/tasks/{ids['Call Acme']}")
    assert (done["note"], done["outcome"], done["completed_by"]) == ("Reached them.", "reached", "jo")
    page.goto("/tasks/new")
    page.get_by_label("What is to be done?").fill("Write to Acme")
    page.get_by_label("Account").fill(ODD)
    page.get_by_role("button", name="Make the task").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Write to Acme")
    expect(page.get_by_role("link", name=ODD)).to_have_attribute("href", PATH)


def test_a_customer_from_end_to_end(site: Site, browse: Browse, jo: str) -> None:
    page = browse("/accounts", key=jo)
    page.keyboard.press("/")
    page.keyboard.type("acme")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Acme", exact=True).click()
    expect(page).to_have_url(re.compile(re.escape(PATH)))
    expect(page.get_by_text("2 ticket.opened events").first).to_be_visible()
    seen = [row.get_attribute("id") for row in page.locator(".timeline [data-row]").all()]
    while page.get_by_role("link", name="Older").count():
        page.get_by_role("link", name="Older").click()
        seen += [row.get_attribute("id") for row in page.locator(".timeline [data-row]").all()]
    assert len(seen) == len(set(seen))
    assert sum(str(one).startswith("event-") for one in seen) >= 60
    page.get_by_role("link", name="Back to the newest").click()
    page.get_by_role("link", name="Mails", exact=True).click()
    expect(page.locator(".timeline [data-row]")).to_have_count(1)
    page.get_by_role("link", name="in rescue").click()
    expect(page).to_have_url(re.compile("/plays/"))


def test_a_customer_without_script(site: Site, browse: Browse, jo: str) -> None:
    page = browse(f"{PATH}?kinds=plays", key=jo, script=False)
    page.locator("summary", has_text="End this play").click()
    page.get_by_role("button", name="End the play").click()
    expect(page.get_by_role("status")).to_contain_text("The play has ended.")
    page.locator("summary", has_text="Suppress").click()
    page.get_by_label("Why").fill("asked by phone")
    page.get_by_role("button", name="Suppress").click()
    expect(page.get_by_text("gets no mail since")).to_be_visible()
    page.locator("summary", has_text="Lift").click()
    page.get_by_role("button", name="Lift").click()
    expect(page.get_by_text("gets no mail since")).to_have_count(0)
    page.goto("/accounts/gone")
    page.locator("summary", has_text="Erase this account").click()
    page.get_by_label("Type the id of the account").fill("gon")
    page.get_by_role("button", name="Erase the account").click()
    browse.allow("status of 422")
    expect(page.get_by_role("alert")).to_contain_text("Nothing was erased")
    page.locator("summary", has_text="Erase this account").click()
    page.get_by_label("Type the id of the account").fill("gone")
    page.get_by_role("button", name="Erase the account").click()
    expect(page.get_by_role("status")).to_contain_text("The account gone is being erased.")
    until("erased", lambda: site.api.get("/v1/accounts/gone").status_code == 404)
    page.goto("/accounts/gone")
    browse.allow("status of 404")
    expect(page.get_by_role("link", name="unmatched events")).to_be_visible()
