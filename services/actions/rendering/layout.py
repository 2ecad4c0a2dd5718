"""The layout around a mail's text: the HTML document with its styles inlined, and the footer of both parts."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import css_inline

_LAYOUT = Path(__file__).with_name("layout.html").read_text(encoding="utf-8")
_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)


def document(title: str, body: str, footer: str) -> str:
    """A whole HTML document around a mail's text; all three arguments are HTML. Styles are inlined, as
    mail needs it."""
    head, _, rest = _LAYOUT.partition("{title}")
    above, _, rest = rest.partition("{body}")
    between, _, below = rest.partition("{footer}")
    return inlined(f"{head}{title}{above}{body}{between}{footer}{below}")


def inlined(html: str) -> str:
    """The document with its own `<style>` inlined; nothing is fetched for it."""
    return _INLINER.inline(html)


def whole(html: str, title: str, footer: str) -> str:
    """An author's HTML as a document: a fragment gets the layout, a document keeps its own, with the footer in it."""
    lower = html.lower()
    if "<html" not in lower and "<body" not in lower:
        return document(title, html, footer)
    end = lower.rfind("</body>")
    return inlined(html[:end] + footer + html[end:] if end >= 0 else html + footer)


def footer_lines(context: Mapping[str, Any], sent_by: str) -> list[str]:
    """Who sent the mail, to whom and why; empty for an internal mail, which nobody can unsubscribe from."""
    if not context.get("unsubscribe_url"):
        return []
    account, contact, owner = (context.get(name) or {} for name in ("account", "contact", "owner"))
    sender = sent_by or owner.get("name") or owner.get("email")
    whom = contact.get("email") or "you"
    name = account.get("name") or account.get("id")
    # A person who is an account of his own is no contact "of" it.
    why = (
        f", as a contact of {name}"
        if name and name not in (whom, contact.get("name"), contact.get("id"))
        else ""
    )
    return [f"Sent {f'by {sender} ' if sender else ''}to {whom}{why}."]


def footer_html(lines: list[str], url: str, topic: str) -> str:
    """The footer of the HTML part; lines and address are plain text."""
    if not lines:
        return ""
    said = "".join(f"<p>{escape(line)}</p>" for line in lines)
    link = f'<p><a href="{escape(url)}">Unsubscribe</a> from {escape(topic)} mails</p>'
    return f'<div class="foot">{said}{link}</div>\n'


def footer_text(lines: list[str], url: str, topic: str) -> str:
    """The footer of the text part, below the customary mark of a signature."""
    if not lines:
        return ""
    return "\n\n-- \n" + "\n".join((*lines, f"Unsubscribe from {topic} mails: {url}"))
