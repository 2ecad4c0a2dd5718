"""The layout: what a mail shows of the brand, that it can be read in any colour, and buttons."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.actions.rendering import MailJob, RenderPool
from services.actions.rendering.layout import Look, document

BRAND = {
    "name": "Acme & Co",
    "postal_address": "1 Main Street\nSpringfield",
    "logo_url": "https://us.test/logo.png?a=1&b=2",
    "colour": "#7a1fa2",
    "product_url": "https://app.us.test/",
    "support_url": "mailto:help@us.test",
    "footer": "Registered <b>here</b>",
}


def mail(renderer: RenderPool, context: dict[str, Any], brand: dict[str, Any] | None, **fields: Any) -> Any:
    texts = fields or {"markdown": "Hello"}
    return renderer.mail(MailJob(subject="s", context=context | {"brand": brand}, **texts))


@pytest.mark.parametrize("texts", [{"markdown": "Hello"}, {"html": "<p>Hello</p>"}])
def test_a_mail_shows_whose_it_is(
    renderer: RenderPool, context: dict[str, Any], texts: dict[str, str]
) -> None:
    made = mail(renderer, context, BRAND, **texts)
    assert '<img src="https://us.test/logo.png?a=1&amp;b=2" alt="Acme &amp; Co" height="40"' in made.html
    assert "Acme &amp; Co, 1 Main Street, Springfield" in made.html
    assert 'href="mailto:help@us.test"' in made.html
    assert "Registered &lt;b&gt;here&lt;/b&gt;" in made.html
    assert made.text.endswith(
        "mails: https://us.test/u/token?a=1&b=2\n\nAcme & Co\n1 Main Street\nSpringfield\nHelp: help@us.test\n"
        "https://app.us.test/\nRegistered <b>here</b>\n"
    )


def test_a_brand_without_a_logo_shows_its_name_once(renderer: RenderPool, context: dict[str, Any]) -> None:
    small = {"name": "Acme", "postal_address": "Acme Inc., 1 Main Street", "logo_url": None}
    made = mail(renderer, context, small)
    assert made.html.count("Acme Inc.") == 1
    assert ">Acme</div>" in made.html
    assert "<img" not in made.html


def test_without_a_brand_nothing_of_it_shows(renderer: RenderPool, context: dict[str, Any]) -> None:
    made = mail(renderer, context, dict.fromkeys(BRAND))
    assert 'class="head"' not in made.html
    assert 'class="imprint"' not in made.html
    assert "None" not in made.html + made.text


def test_mails_of_one_text_and_two_brands_are_two(renderer: RenderPool, context: dict[str, Any]) -> None:
    shown = [mail(renderer, context, BRAND | {"name": name}).html for name in ("Acme", "Umbrella", "Acme")]
    assert ["Umbrella" in html for html in shown] == [False, True, False]
    assert shown[0] == shown[2]


def test_an_internal_mail_has_no_imprint(renderer: RenderPool, context: dict[str, Any]) -> None:
    made = mail(renderer, context | {"unsubscribe_url": None}, BRAND)
    assert "Main Street" not in made.html + made.text


def test_a_whole_document_is_its_own_layout(renderer: RenderPool, context: dict[str, Any]) -> None:
    own = "<html><body><p>x</p><p>{{ brand.name }}</p><a href='{{ unsubscribe_url }}'>stop</a></body></html>"
    made = mail(renderer, context, BRAND, html=own)
    assert made.html.count("Acme") == 1
    assert "Unsubscribe" not in made.html + made.text
    assert 'class="foot"' not in made.html
    assert made.text == "x\n\nAcme & Co\n\nstop (https://us.test/u/token?a=1&b=2)\n"
    # who forgets the link in the text part still gets it there
    assert "Unsubscribe from" in mail(renderer, context, BRAND, html=own, text="x").text


def contrast(one: str, other: str) -> float:
    """WCAG 2, written down anew."""

    def light(colour: str) -> float:
        total = 0.0
        for part, weight in zip((1, 3, 5), (0.2126, 0.7152, 0.0722), strict=True):
            share = int(colour[part : part + 2], 16) / 255
            total += weight * (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4)
        return total

    lights = sorted([light(one), light(other)])
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def style_of(html: str, beginning: str) -> dict[str, str]:
    """The inline style of the tag that begins so."""
    style = html.partition(beginning)[2].partition('style="')[2].partition('"')[0]
    return {
        name.strip(): value.strip() for name, _, value in (part.partition(":") for part in style.split(";"))
    }


@given(st.integers(0, 0xFFFFFF).map("#{:06x}".format))
def test_whatever_the_colour_links_and_buttons_can_be_read(colour: str) -> None:
    body = '<p><a href="https://a.test/1">x</a></p><p class="button"><a href="https://a.test/2">y</a></p>'
    html = document("t", body, "", Look(name="Acme", colour=colour))
    assert contrast(style_of(html, '<a href="https://a.test/1"')["color"], "#ffffff") >= 4.5
    button = style_of(html, '<a href="https://a.test/2"')
    assert button["background-color"] == colour
    assert contrast(button["color"], colour) >= 4.5


@pytest.mark.parametrize(
    ("source", "is_button"),
    [
        ("[Log in](https://a.test)", True),
        ("Hi,\n\n[Log in to {{ account.name }}]({{ trigger.event.data.url }})\n\nBye", True),
        ("[https://a.test](https://a.test)", False),
        ("<https://a.test>", False),
        ("see [here](https://a.test)", False),
        ("[here](https://a.test) [there](https://b.test)", False),
        ("- [here](https://a.test)", False),
        ("> [here](https://a.test)", False),
        ("[![logo](https://a.test/x.png)](https://a.test)", False),
        ("# [here](https://a.test)", False),
    ],
)
def test_a_paragraph_that_is_one_link_is_a_button(
    renderer: RenderPool, context: dict[str, Any], source: str, is_button: bool
) -> None:
    assert ('<p class="button"' in mail(renderer, context, None, markdown=source).html) == is_button
