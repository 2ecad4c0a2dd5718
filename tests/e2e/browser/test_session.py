"""Signing in and out, the frame of every page, and the switch that stops all sending, by pointer and by keyboard."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.e2e.browser.browsing import NARROW, WIDE, Browse, Site, axe, no_sideways_scroll, screenshot
from tests.e2e.stack import until

LOOKS = pytest.mark.parametrize(
    ("size", "dark"), [(WIDE, False), (WIDE, True), (NARROW, False), (NARROW, True)]
)
SCRIPT = pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])


@pytest.fixture(autouse=True)
def _sending_is_on(site: Site) -> Iterator[None]:
    yield
    site.call("PUT", "/v1/sending", json={"status": "on"})


def heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(text)


def see_that_sending_is_off(page: Page) -> None:
    """What others have changed is on every page two seconds later."""

    def seen() -> bool:
        page.reload()
        return page.get_by_text("Sending is off").is_visible()

    until("sending is off", seen)


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()


@SCRIPT
def test_one_signs_in_and_out(site: Site, browse: Browse, script: bool) -> None:
    page = browse("/?from=afar", key=None, script=script)
    expect(page).to_have_url(re.compile(r"/login\?next="))
    sign_in(page, "tl_no-such-key")
    expect(page.get_by_role("alert")).to_be_visible()
    browse.allow("status of 401")
    sign_in(page, site.admin_key)
    heading(page, "What needs you now")
    expect(page).to_have_url(f"{site.url}/?from=afar")
    assert page.evaluate("document.cookie").partition("touchline_zone=")[0] == "", (
        "scripts cannot see the session"
    )
    page.get_by_role("button", name="Sign out").click()
    heading(page, "Sign in")
    page.go_back()
    page.reload()
    heading(page, "Sign in")


@LOOKS
def test_pages_are_fit_for_all(site: Site, browse: Browse, size: ViewportSize, dark: bool) -> None:
    look = f"{size['width']}-{'dark' if dark else 'light'}"
    for path, key in (("/login", None), ("/", site.admin_key)):
        page = browse(path, size=size, dark=dark, key=key)
        axe(page)
        no_sideways_scroll(page)
        screenshot(page, f"{path.strip('/') or 'home'}-{look}")
    site.call("PUT", "/v1/sending", json={"status": "off", "reason": "a wrong template " * 9})
    see_that_sending_is_off(page)
    axe(page)
    no_sideways_scroll(page)
    screenshot(page, f"home-off-{look}")


@SCRIPT
def test_sending_is_stopped_and_started(site: Site, browse: Browse, script: bool) -> None:
    page = browse("/", script=script)
    page.locator("summary", has_text="Stop sending").click()
    page.get_by_label("Why?").fill("wrong <b>template</b>")
    page.get_by_role("button", name="Stop sending").click()
    expect(page.get_by_role("status")).to_contain_text("Sending is off.")
    expect(page.get_by_role("alert")).to_contain_text("“wrong <b>template</b>”")
    assert site.call("GET", "/v1/sending")["status"] == "off"
    page.reload()
    expect(page.get_by_role("status")).to_be_empty()
    page.locator("summary", has_text="Start sending again").click()
    assert site.call("GET", "/v1/sending")["status"] == "off", "it asks first"
    page.get_by_role("button", name="Start sending").click()
    expect(page.get_by_role("status")).to_contain_text("Sending is on again.")
    assert site.call("GET", "/v1/sending")["status"] == "on"


def test_who_may_only_read_has_no_switch(site: Site, browse: Browse) -> None:
    page = browse("/", key=site.new_key("actions:read"))
    heading(page, "What needs you now")
    expect(page.get_by_text("Stop sending")).to_have_count(0)


def test_the_keyboard_suffices(site: Site, browse: Browse) -> None:
    page = browse("/login", key=None)
    page.keyboard.insert_text(site.admin_key)  # the field has the focus
    page.keyboard.press("Enter")
    heading(page, "What needs you now")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("summary", has_text="Stop sending")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Why?")).to_be_focused()
    page.keyboard.type("? g h")  # no command while one types
    expect(page.get_by_label("Why?")).to_have_value("? g h")
    page.keyboard.press("Escape")
    expect(page.get_by_label("Why?")).to_be_hidden()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    axe(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()


def test_single_keys_can_be_switched_off(browse: Browse) -> None:
    page = browse("/")
    page.keyboard.press("?")
    page.get_by_label("Switch these keys off").check()
    page.get_by_role("button", name="Close").click()
    page.reload()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    page.get_by_role("button", name="Keys").click()
    page.get_by_label("Switch these keys off").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()


def test_times_are_those_of_the_readers_zone(site: Site, browse: Browse) -> None:
    site.call("PUT", "/v1/sending", json={"status": "off"})
    page = browse("/", zone="Asia/Kathmandu")
    see_that_sending_is_off(page)
    page.reload()  # the first page tells the zone
    since = page.get_by_role("alert").locator("time")
    shown = page.evaluate(
        """moment => new Intl.DateTimeFormat('en-GB', {timeZone: 'Asia/Kathmandu', hour: '2-digit', minute: '2-digit'})
            .format(new Date(moment))""",
        since.get_attribute("datetime"),
    )
    expect(since).to_contain_text(shown)


def test_an_unknown_page_says_so(browse: Browse) -> None:
    page = browse("/no-such-page")
    browse.allow("status of 404")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    axe(page)
