"""The layout around a mail's text: the HTML document with its styles inlined, and the footer of both parts."""

from collections.abc import Mapping
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import css_inline

_LAYOUT = Path(__file__).with_name("layout.html").read_text(encoding="utf-8")
_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)
_ACCENT = "#0b5cad"
_READABLE = 4.5  # contrast of text to its ground, by WCAG 2 (AA)
_WHITE, _DARK, _BLACK = "#ffffff", "#1f2328", "#000000"


class Look(NamedTuple):
    """What a mail shows of the brand, and the language of its text; the same for many mails, so it can be a key."""

    lang: str = "en"
    name: str = ""
    postal_address: str = ""
    logo_url: str = ""
    colour: str = ""
    product_url: str = ""
    support_url: str = ""
    footer: str = ""

    @classmethod
    def of(cls, context: Mapping[str, Any], lang: str) -> "Look":
        """The look of a mail with this context; without a brand, a plain one."""
        brand = context.get("brand") or {}
        return cls(lang or "en", *(str(brand.get(name) or "") for name in cls._fields[1:]))


def document(title: str, body: str, footer: str, look: Look = Look()) -> str:
    """A whole HTML document around a mail's text; the first three arguments are HTML. Styles are inlined, as
    mail needs it."""
    rest = _layout(look.lang, look.colour or _ACCENT)
    pieces: list[str] = []
    for name, part in (("title", title), ("head", _head(look)), ("body", body), ("footer", footer)):
        before, _, rest = rest.partition("{" + name + "}")
        pieces += (before, part)
    return inlined("".join((*pieces, rest)))


@lru_cache(maxsize=64)
def _layout(lang: str, accent: str) -> str:
    """The layout in a language and a colour. Light text is put on a dark colour, and links on white can be read."""
    dark = _contrast(accent, _WHITE) >= _READABLE
    readable = [one for one in (_WHITE, _DARK) if _contrast(accent, one) >= _READABLE]
    on_accent = readable[0] if readable else _BLACK  # readable on all that white is not
    colours = {"accent": accent, "on_accent": on_accent, "link": accent if dark else _ACCENT}
    found = _LAYOUT
    for name, value in {"lang": escape(lang), **colours}.items():
        found = found.replace("{" + name + "}", value)
    return found


def _head(look: Look) -> str:
    """The logo, or else the name, above the text; it leads to the product."""
    if not look.name:
        return ""
    logo = f'<img src="{escape(look.logo_url)}" alt="{escape(look.name)}" height="40">'
    shown = logo if look.logo_url else escape(look.name)
    linked = f'<a href="{escape(look.product_url)}">{shown}</a>' if look.product_url else shown
    return f'<div class="head">{linked}</div>\n'


def _contrast(one: str, other: str) -> float:
    """The contrast of two colours (`#rrggbb`), from 1 to 21, by WCAG 2."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    shares = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def inlined(html: str) -> str:
    """The document with its own `<style>` inlined; nothing is fetched for it."""
    return _INLINER.inline(html)


def is_whole(html: str) -> bool:
    """Whether an author's HTML is a whole document, which is its own layout."""
    return "<html" in html.lower()


def footer_lines(context: Mapping[str, Any], sent_by: str) -> list[str]:
    """Who sent the mail, to whom and why; empty for an internal mail, which nobody can unsubscribe from."""
    if not context.get("unsubscribe_url"):
        return []
    account, contact, owner = (context.get(name) or {} for name in ("account", "contact", "owner"))
    sender = sent_by or owner.get("name") or owner.get("email")
    whom = contact.get("email") or "you"
    # A person who is an account of his own is no contact "of" it, and an id means nothing to a reader.
    name = account.get("name")
    why = (
        f", as a contact of {name}"
        if name and name not in (whom, contact.get("name"), contact.get("id"))
        else ""
    )
    return [f"Sent {f'by {sender} ' if sender else ''}to {whom}{why}."]


def footer_html(lines: list[str], url: str, topic: str, look: Look = Look()) -> str:
    """The footer of the HTML part; lines and address are plain text."""
    if not lines:
        return ""
    said = "".join(f"<p>{escape(line)}</p>" for line in lines)
    link = f'<p><a href="{escape(url)}">Unsubscribe</a> from {escape(topic)} mails</p>'
    return f'<div class="foot">{said}{link}{_imprint_html(look)}</div>\n'


def _imprint_html(look: Look) -> str:
    """Whose mail it is: name and postal address on one line, where to get help, and what else there is to say."""
    whose = escape(", ".join([*_whose(look), *look.postal_address.splitlines()]))
    links = [(look.support_url, "Help"), (look.product_url, _bare(look.product_url))]
    help_ = " · ".join(f'<a href="{escape(to)}">{escape(name)}</a>' for to, name in links if to)
    more = escape(look.footer).replace("\n", "<br>\n")
    found = "".join(f"<p>{part}</p>" for part in (whose, help_, more) if part)
    return f'<div class="imprint">{found}</div>' if found else ""


def _whose(look: Look) -> list[str]:
    """The brand's name, unless its address begins with it."""
    return [] if not look.name or look.postal_address.startswith(look.name) else [look.name]


def _bare(url: str) -> str:
    return url.partition("://")[2].rstrip("/")


def footer_text(lines: list[str], url: str, topic: str, look: Look = Look()) -> str:
    """The footer of the text part, below the customary mark of a signature."""
    if not lines:
        return ""
    imprint = [*_whose(look), *look.postal_address.splitlines()]
    imprint += [f"Help: {look.support_url.removeprefix('mailto:')}"] if look.support_url else []
    imprint += [look.product_url] if look.product_url else []
    imprint += look.footer.splitlines()
    said = (*lines, f"Unsubscribe from {topic} mails: {url}", *(("", *imprint) if imprint else ()))
    return "\n\n-- \n" + "\n".join(said)
