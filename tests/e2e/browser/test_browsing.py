"""What pages must not do is noticed: the fixtures themselves, on pages that we made for it."""

import pytest
from playwright.sync_api import expect

from tests.e2e.browser.browsing import NARROW, Browse, axe, no_sideways_scroll

BARE = "about:blank"  # no policy


def test_what_a_page_does_is_heard(browse: Browse) -> None:
    page = browse(BARE)
    page.evaluate("console.log('hello'); setTimeout(() => { throw new Error('oh dear') })")
    page.evaluate(
        "new Promise(done => { const i = new Image(); i.onerror = done; i.src = 'http://other.test/i.png' })"
    )
    for line in (
        r"^console log: hello",
        r"^page error: oh dear",
        r"^request to another address: http://other\.test/i",
    ):
        browse.allow(line)
    browse.allow("ERR_NAME_NOT_RESOLVED")


@pytest.mark.parametrize("script", [True, False])
def test_a_violation_of_the_policy_is_heard(browse: Browse, script: bool) -> None:
    page = browse("/docs", script=script)
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('style'), {textContent: 'p {}'}))"
    )
    browse.allow("Content Security Policy")
    if script:
        browse.allow("CSP: style-src-elem refused inline")
    page.evaluate("1")


def test_what_was_not_announced_fails_the_test_and_so_does_silence(browse: Browse) -> None:
    loud, silent = Browse(browse.browser, browse.site), Browse(browse.browser, browse.site)
    loud(BARE).evaluate("console.log('hello')")
    silent(BARE).evaluate("1")
    silent.check()
    with pytest.raises(AssertionError, match="hello"):
        loud.check()
    silent.allow("hello")
    with pytest.raises(AssertionError, match="never came"):
        silent.check()
    browse.contexts += [*loud.contexts, *silent.contexts]


def test_axe_names_what_is_wrong(browse: Browse) -> None:
    page = browse(BARE)
    page.set_content(
        "<!doctype html><html lang=en><title>T</title><main><h1>T</h1><label>Name <input></label></main>"
    )
    axe(page)
    page.evaluate("document.querySelector('main').append(document.createElement('input'))")
    with pytest.raises(AssertionError, match=r"critical label: .*\n.*<input>"):
        axe(page)


def test_a_page_that_is_too_wide_is_named(browse: Browse) -> None:
    page = browse(BARE, size=NARROW)
    page.set_content("<!doctype html><div style='overflow-x:auto'><p style='width:900px'>Wide")
    no_sideways_scroll(page)
    page.set_content("<!doctype html><p id=wide style='width:900px'>Wide")
    with pytest.raises(AssertionError, match='id="wide"'):
        no_sideways_scroll(page)


def test_zone_language_colours_and_script_are_those_that_were_asked_for(browse: Browse) -> None:
    page = browse(BARE, zone="Asia/Tokyo", locale="de-DE", dark=True)
    assert page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone") == "Asia/Tokyo"
    assert page.evaluate("navigator.language") == "de-DE"
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    page = browse(BARE, script=False)
    page.set_content("<p>as it was</p><script>document.querySelector('p').textContent = 'changed'</script>")
    expect(page.get_by_text("as it was")).to_be_visible()
    page = browse(BARE)
    page.set_content("<p>as it was</p><script>document.querySelector('p').textContent = 'changed'</script>")
    expect(page.get_by_text("changed")).to_be_visible()
