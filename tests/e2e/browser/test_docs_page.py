"""`/docs` in a browser that reaches nobody but us: the operations are there, and nothing was held back."""

from playwright.sync_api import expect

from tests.e2e.browser.browsing import Browse


def test_the_page_shows_the_operations(browse: Browse) -> None:
    page = browse("/docs", key=None, size={"width": 800, "height": 20_000})  # the page draws what is in sight
    for path in ("/v1/events", "/v1/rules", "/v1/playbooks", "/healthz"):
        expect(page.locator(f'[data-path="{path}"]').first).to_be_visible()
