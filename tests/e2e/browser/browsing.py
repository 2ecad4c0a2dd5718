"""Pages of ours in a real browser, which may do nothing that our pages must not do.

A test asks for `site` (an empty installation, one for each module) and `browse`, which opens a page of it in a context
of its own: no cookies, no cache, nothing left of another test.

    def test_tasks(site: Site, browse: Browse) -> None:
        site.call("PUT", "/v1/accounts/acme", json={"name": "Acme"})
        page = browse("/tasks")  # 1280 by 900, light, a reader in Berlin, signed in with the admin key
        expect(page.get_by_role("heading", level=1)).to_have_text("Tasks")
        axe(page)  # nothing serious: contrast, labels, roles
        no_sideways_scroll(browse("/tasks", size=NARROW, dark=True))
        browse("/tasks", script=False, key=site.new_key("actions:read"))
        browse("/tasks", key=None, zone="America/New_York", locale="de-DE")  # nobody is signed in

At its end the test fails if a page wrote to the console, raised an error, broke its content security policy or asked
another address for something. What a test provokes it announces, as in `browse.allow(r"status of 404")`; an announced
line that never comes fails the test as well.

`browse` waits for `load`. Wait for everything else with Playwright's `expect`, which polls for up to `PATIENCE_MS`, and
never with a sleep. Neither tests nor fixtures here can be async, as Playwright's loop runs in their thread.

A module whose server needs settings or content has a fixture `site` of its own, around `open_site(folder, …)`.
`screenshot(page, "tasks-wide")` saves a picture if SCREENSHOTS names a folder. When a test has failed, pictures of its
pages are in `tmp_path`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    ViewportSize,
    WebError,
)

from backbone.settings import load_settings
from backbone.web.api_keys import create_key
from services.app import Runtime, running

WIDE: ViewportSize = {"width": 1280, "height": 900}
NARROW: ViewportSize = {"width": 390, "height": 844}
ADMIN = "the admin key"
PATIENCE_MS = 60_000  # for a machine under load
AXE = Path(__file__).parents[2] / "vendor" / "axe-core" / "axe.min.js"
# The browser's own line about a violation does not always name the directive.
TELL_VIOLATIONS = """addEventListener('securitypolicyviolation', e => console.error(
    `CSP: ${e.effectiveDirective} refused ${e.blockedURI} ${e.sample} at ${e.sourceFile}:${e.lineNumber}`))"""


class Site:
    """All services in this process, and a client with the admin key."""

    def __init__(self, rooms: Runtime, url: str, api: httpx.Client) -> None:
        self.rooms, self.url, self.api = rooms, url, api
        self.admin_key = (rooms.settings.data_dir / "admin.key").read_text().strip()
        api.headers["authorization"] = f"Bearer {self.admin_key}"
        self._cookies: dict[str, list[Any]] = {}

    def call(self, method: str, path: str, **more: Any) -> Any:
        """The answer of the API; `more` goes to httpx."""
        answer = self.api.request(method, path, **more)
        assert answer.is_success, (method, path, answer.text)
        return answer.json() if answer.content else None

    def new_key(self, *scopes: str) -> str:
        """A key that may do only this."""
        return create_key(self.rooms.db, self.rooms.clock, "a test's", list(scopes))

    def cookies(self, key: str) -> list[Any]:
        """Those of somebody who has signed in with a key."""
        if key not in self._cookies:
            answer = httpx.post(f"{self.url}/login", data={"key": key}, timeout=PATIENCE_MS / 1000)
            assert answer.status_code == 303, answer.text
            found = answer.cookies.jar
            self._cookies[key] = [
                {"name": one.name, "value": one.value or "", "url": self.url, "httpOnly": True}
                for one in found
            ]
        return self._cookies[key]


@contextmanager
def open_site(folder: Path, **settings: Any) -> Iterator[Site]:
    """All services on a data folder, behind a port."""
    given = load_settings(data_dir=folder, port=0, **{"partitions": 1, **settings})
    with running(given) as (rooms, url), httpx.Client(base_url=url, timeout=PATIENCE_MS / 1000) as api:
        yield Site(rooms, url, api)


class Browse:
    """Opens pages of a site, and hears what they do."""

    def __init__(self, browser: Browser, site: Site) -> None:
        self.browser, self.site = browser, site
        self.contexts: list[BrowserContext] = []
        self.heard: list[str] = []
        self._allowed: list[str] = []

    def __call__(
        self,
        path: str = "/",
        *,
        size: ViewportSize = WIDE,
        dark: bool = False,
        script: bool = True,
        key: str | None = ADMIN,
        zone: str = "Europe/Berlin",
        locale: str = "en-GB",
    ) -> Page:
        """A loaded page in a context of its own. `key`: whose session it is; None for nobody's."""
        context = self.browser.new_context(
            base_url=self.site.url,
            viewport=size,
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
            timezone_id=zone,
            locale=locale,
            reduced_motion="reduce",  # a colour in transition has another contrast
        )
        self.contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(TELL_VIOLATIONS)
        self._listen(context)
        if key is not None:
            context.add_cookies(self.site.cookies(self.site.admin_key if key == ADMIN else key))
        page = context.new_page()
        page.goto(path)
        return page

    def allow(self, pattern: str) -> None:
        """Let lines pass in which this regular expression is found; at least one has to come."""
        self._allowed.append(pattern)

    def check(self) -> None:
        """Fails with what no page may do, or with an announced line that never came."""
        other = [line for line in self.heard if not any(re.search(known, line) for known in self._allowed)]
        assert not other, "\n".join(["a page did what it must not:", *other])
        missing = [known for known in self._allowed if not any(re.search(known, line) for line in self.heard)]
        assert not missing, f"announced with browse.allow, and never came: {missing}; heard: {self.heard}"

    def _listen(self, context: BrowserContext) -> None:
        def console(message: ConsoleMessage) -> None:
            if message.type != "verbose":  # advice, some of which comes on slow machines alone
                self.heard.append(f"console {message.type}: {message.text} ({message.location['url']})")

        def error(failure: WebError) -> None:
            self.heard.append(f"page error: {failure.error.message}")

        def request(wanted: Request) -> None:
            if not wanted.url.startswith((f"{self.site.url}/", "data:", "blob:")):
                self.heard.append(f"request to another address: {wanted.url}")

        context.on("console", console)
        context.on("weberror", error)
        context.on("request", request)


def axe(page: Page) -> None:
    """Nothing that axe-core calls serious or critical."""
    if not page.evaluate("'axe' in globalThis"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations'], iframes: false})")
    lines = [
        f"{item['impact']} {item['id']}: {item['help']} ({item['helpUrl']})\n    {node['html']}\n"
        f"    {node['failureSummary']}"
        for item in found["violations"]
        if item["impact"] in {"serious", "critical"}
        for node in item["nodes"]
    ]
    assert not lines, "\n".join([page.url, *lines])


def no_sideways_scroll(page: Page) -> None:
    """The page is no wider than the window. Tables may scroll in a box of their own."""
    wide = page.evaluate(
        """() => {
            const room = document.documentElement.clientWidth;
            if (document.scrollingElement.scrollWidth <= room) return [];
            return [...document.body.querySelectorAll('*')]
                .filter(e => e.getBoundingClientRect().right > room + 0.5)
                .map(e => e.cloneNode(false).outerHTML.slice(0, 200));
        }"""
    )
    assert not wide, "\n".join([f"{page.url} is wider than {page.viewport_size}:", *wide])


def screenshot(page: Page, name: str) -> None:
    """Save a picture of the whole page as SCREENSHOTS/name.png; without that variable do nothing."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
