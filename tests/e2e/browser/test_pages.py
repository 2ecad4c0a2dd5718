"""The console's pages where things have happened; and the way from nothing to the first mail."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import ViewportSize, expect

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

NAME = "<b>Acme</b> & Sons {{ 7 * 7 }}"  # nobody's page may break at it
PLAYBOOK = {
    "name": "welcome",
    "steps": {
        "high": [
            {"email": {"template": "hello", "approve": True}},
            {"task": {"title": "Call {{ account.name }}", "assignee": "owner", "due": "1d"}},
        ],
        "low": [
            {"email": {"template": "hello"}},
            {
                "branch": {
                    "if": {"account.attributes.plan": "team"},
                    "then": [{"wait": "7d"}],
                    "else": [{"wait": "1d"}],
                }
            },
        ],
        "tech": [{"webhook": {"endpoint": "crm"}}],
    },
}
RULE = {
    "name": "signed-up", "status": "active", "playbook": "welcome",
    "when": {"threshold": {"event": "account.signed_up", "at_least": 1}},
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Three accounts of each tier have signed up."""
    with open_site(tmp_path_factory.mktemp("site")) as opened:
        _fill(opened)
        yield opened


def _fill(site: Site) -> None:
    site.call(
        "POST",
        "/v1/templates",
        json={"name": "hello", "subject": "Hello", "markdown": "Hi **{{ contact.name }}**"},
    )
    site.call("POST", "/v1/endpoints", json={"name": "crm", "url": "http://127.0.0.1:9/"})
    site.call("PUT", "/v1/brand", json={"name": "Us", "postal_address": "1 Main Street"})
    site.call("POST", "/v1/playbooks", json=PLAYBOOK)
    site.call("POST", "/v1/rules", json=RULE)
    for n in range(9):
        tier = ("high", "low", "tech")[n % 3]
        contact = {"id": f"c{n}", "name": f"Ann {n}", "email": f"ann{n}@acme.test", "roles": ["admin"]}
        owner = {"name": "Jo", "email": "jo@us.test"}
        account = {"name": f"{NAME} {n}", "tier": tier, "owner": owner, "contacts": [contact]}
        site.call("PUT", f"/v1/accounts/acme-{n}", json=account)
        site.call(
            "POST", "/v1/events", json=[{"id": f"e{n}", "type": "account.signed_up", "account": f"acme-{n}"}]
        )
    until(
        "nine plays",
        lambda: (
            len(site.call("GET", "/v1/actions")["items"]) == 12 and site.call("GET", "/v1/status")["idle"]
        ),
    )


def _ids(site: Site) -> dict[str, str]:
    return {
        kind: site.call("GET", f"/v1/{kind}?limit=1")["items"][0]["id"]
        for kind in ("actions", "plays", "triggers")
    }


@pytest.mark.parametrize(("size", "dark"), [(WIDE, False), (NARROW, True)], ids=["wide light", "narrow dark"])
def test_pages_are_fit_for_all(site: Site, browse: Browse, size: ViewportSize, dark: bool) -> None:
    ids = _ids(site)
    paths = [
        "/", "/deliveries", f"/deliveries/{ids['actions']}", "/plays", f"/plays/{ids['plays']}", "/triggers",
        f"/triggers/{ids['triggers']}", "/playbooks", "/playbooks/welcome", "/playbooks/welcome/edit",
        "/playbooks/-/new", "/library", "/library/payment-failed", "/start", "/templates", "/templates/hello",
        "/templates/hello/edit", "/templates/-/new", "/settings", "/settings/tiers", "/settings/policy",
        "/settings/endpoints", "/settings/endpoints/crm", "/settings/topics", "/settings/sources/-/new",
        "/settings/keys", "/settings/suppressions", "/settings/unmatched", "/settings/audit", "/settings/status",
    ]  # fmt: skip
    page = browse(paths[0], size=size, dark=dark)
    for path in paths:
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        axe(page)
        no_sideways_scroll(page)
        screenshot(
            page, f"{path.strip('/').replace('/', '-') or 'home'}-{size['width']}{'-dark' if dark else ''}"
        )


@pytest.mark.parametrize("script", [True, False], ids=["keys alone", "no script"])
def test_a_pile_of_mails_is_approved(site: Site, browse: Browse, script: bool) -> None:
    page = browse("/deliveries?status=pending&reason=awaiting_approval", script=script)
    before = page.locator("[data-row]").count()
    page.locator("[data-row] a").first.click()
    expect(page.frame_locator("iframe").locator("body")).to_contain_text("Hi Ann")
    if script:
        page.keyboard.press("e")
    else:
        page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Approved: the mail goes out.")
    waiting = site.call("GET", "/v1/actions", params={"reason": "awaiting_approval"})["items"]
    assert len(waiting) == before - 1


def test_rows_are_gone_through_with_keys(browse: Browse) -> None:
    page = browse("/deliveries")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("[data-row].here")).to_have_count(1)
    second = page.locator("[data-row]").nth(1).locator("a").first
    expect(second).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/deliveries/act_"))
    page.keyboard.press("g")
    page.keyboard.press("p")
    expect(page).to_have_url(re.compile("/playbooks"))


def test_a_mail_is_shown_as_it_is_written(site: Site, browse: Browse) -> None:
    page = browse("/templates/hello/edit?account=acme-1")
    wide = page.frame_locator("iframe[name=wide]").locator("body")
    expect(wide).to_contain_text("Hi Ann 1")
    page.get_by_label("Text, in Markdown").fill("Dear {{ contact.name }}, <script>x()</script>")
    expect(wide).to_contain_text("Dear Ann 1")
    expect(page.frame_locator("iframe[name=narrow]").locator("body")).to_contain_text("Dear Ann 1")
    page.get_by_label("Text, in Markdown").fill("Dear {{ contact.name ")
    expect(page.locator("#checked")).to_contain_text("Not yet valid")
    assert site.call("GET", "/v1/templates/hello")["version"] == 1, "nothing is saved"
    page.get_by_label("Text, in Markdown").fill("Hi **{{ contact.name }}**!")
    expect(page.locator("#checked")).to_contain_text("Valid")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("Saved as version 2")


def test_a_playbook_is_paused_and_resumed_without_script(site: Site, browse: Browse) -> None:
    page = browse("/playbooks/welcome", script=False)
    expect(page.get_by_text("3 here now").first).to_be_visible()
    page.locator("summary", has_text="Pause").click()
    page.get_by_label("Why?").fill("wrong prices")
    page.get_by_role("button", name="Pause the playbook").click()
    expect(page.get_by_role("alert")).to_contain_text("wrong prices")
    page.locator("summary", has_text="discard the held").click()
    page.get_by_role("button", name="Resume and discard").click()
    expect(page.get_by_role("status")).to_contain_text("Resumed.")
    assert site.call("GET", "/v1/playbooks/welcome")["status"] == "active"


def test_a_document_is_checked_as_it_is_written(site: Site, browse: Browse) -> None:
    page = browse("/settings/policy")
    text = page.get_by_label("As YAML")
    text.fill("hours: {from: '09:00', to: '17:00', days: [mon, tue, wed]}")
    expect(page.locator("#checked")).to_contain_text("from 09:00 to 17:00, Monday to Wednesday")
    text.fill("hours: {from: '19:00', to: '17:00'}")
    expect(page.locator("#checked")).to_contain_text("hours.to")
    page.get_by_role("button", name="Save").click()
    browse.allow("status of 422")
    expect(page.get_by_role("alert")).to_contain_text("hours.to")
    assert site.call("GET", "/v1/policy")["version"] == 0


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_from_nothing_to_the_first_mail(browser: object, tmp_path: Path, script: bool) -> None:
    """Nothing but the browser is used, but for the key."""
    with open_site(tmp_path / "empty") as site:
        browsing = Browse(browser, site)  # type: ignore[arg-type]
        page = browsing("/", script=script)
        page.get_by_role("link", name="Take the first steps").click()
        page.get_by_role("link", name="Open the library").click()
        page.get_by_role("link", name="Support spike").click()
        page.get_by_role("button", name="Add it").click()
        expect(page.get_by_role("status")).to_contain_text("its rules are drafts")
        page.get_by_role("link", name="Activate").click()
        page.get_by_role("button", name="Activate").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("active")
        page.goto("/start")
        page.get_by_label("Your address").fill("me@us.test")
        page.get_by_role("button", name="Send 20 events").click()
        until("a mail", lambda: list((tmp_path / "empty" / "outbox").glob("*.eml")))
        page.goto("/start")
        expect(page.get_by_text("done")).to_have_count(4)
        browsing.check()
