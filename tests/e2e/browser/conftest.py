"""One Chromium per process, one site per module, fresh contexts per test. How to use them: browsing.py."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from deploy.local.node import chromium
from tests.e2e.browser.browsing import PATIENCE_MS, Browse, Site, open_site

ARGUMENTS = [
    "--no-sandbox",  # for root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Limit the time of tests in a browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(400))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether the test itself failed."""
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The system's Chromium. It ends with this package's tests, as no other loop can run in this thread until then."""
    program = chromium()
    if program is None:
        pytest.skip("needs Chromium (Debian: apt-get install chromium)")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=ARGUMENTS, timeout=PATIENCE_MS)
        yield started
        started.close()


@pytest.fixture(scope="package", autouse=True)
def _frames_are_fresh() -> Iterator[None]:
    """What one test changed over the API, the next one's first page shows; else it may be two seconds late."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.console.frame.FRESH_S", 0.0)
        yield


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An empty installation for this module's tests."""
    with open_site(tmp_path_factory.mktemp("site")) as opened:
        yield opened


@pytest.fixture
def browse(browser: Browser, site: Site, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Browse]:
    """Opens pages; at the end, nothing was held back and nothing went wrong on them."""
    browsing = Browse(browser, site)
    yield browsing
    if request.node.stash.get(FAILED, False):
        for number, page in enumerate(page for context in browsing.contexts for page in context.pages):
            page.screenshot(path=tmp_path / f"page-{number}.png", full_page=True)
            print(f"{page.url} as it was: {tmp_path}/page-{number}.png")
    for context in browsing.contexts:
        context.close()
    browsing.check()
