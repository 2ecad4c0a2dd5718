"""Markdown to HTML and to plain text, with slots where values go.

A markdown text whose values are slots (see `sandbox`) is the same for every recipient who takes the same branches of
the template. So its conversion is cached, and a further mail costs no more than filling in the slots.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode
from markdown_it.utils import OptionsDict

from services.actions.rendering.links import safe_url
from services.actions.rendering.plain_text import text_of
from services.actions.rendering.sandbox import CLOSE, CLOSE_URL, OPEN, OPEN_URL


@dataclass(slots=True)
class Converted:
    """HTML and text with slots; `urls[n]` is the address, slots included, that stands at address slot n."""

    html: str
    text: str
    urls: list[str]


def convert(source: str) -> Converted:
    """Both forms of a markdown text. Raw HTML in it is shown as text."""
    tokens = _MARKDOWN.parse(source)
    _mark_buttons(tokens)
    text = text_of(SyntaxTreeNode(tokens))
    urls: list[str] = []
    for token in _walk(tokens):
        _hold_back_urls(token, urls)
    html = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})
    return Converted(html, text, urls)


def fill_html(html: str, values: Sequence[str], urls: Sequence[str] = ()) -> str:
    """The HTML with values escaped into their slots, and addresses checked once they are whole."""
    if OPEN_URL in html:
        html = _fill(html, OPEN_URL, CLOSE_URL, [escape(safe_url(fill_text(url, values))) for url in urls])
    return _fill(html, OPEN, CLOSE, [escape(value).replace("\n", "<br>\n") for value in values])


def fill_text(text: str, values: Sequence[str]) -> str:
    """The text with values in their slots, as they are."""
    return _fill(text, OPEN, CLOSE, values)


def _fill(text: str, opening: str, closing: str, values: Sequence[str]) -> str:
    head, *rest = text.split(opening)
    pieces = [head]
    for piece in rest:
        number, _, tail = piece.partition(closing)
        pieces += (values[int(number)], tail)
    return "".join(pieces)


def _as_is(url: str) -> str:
    return url


def _any_url(_: str) -> bool:
    return True


def _image(_: Any, tokens: Sequence[Token], index: int, __: OptionsDict, ___: Any) -> str:
    token = tokens[index]
    return f'<img src="{escape(str(token.attrGet("src")))}" alt="{escape(token.content)}">'


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    # Addresses may hold slots: they are checked and encoded once they are filled in.
    parser.normalizeLink = _as_is  # type: ignore[method-assign]
    parser.normalizeLinkText = _as_is  # type: ignore[method-assign, assignment]
    parser.validateLink = _any_url  # type: ignore[method-assign, assignment]
    parser.add_render_rule("image", _image)
    return parser


_MARKDOWN = _parser()


def _walk(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _walk(token.children or [])


def _mark_buttons(tokens: Sequence[Token]) -> None:
    """A paragraph of its own that is one link, with words of its own, is a button."""
    for opening, inline in pairwise(tokens):
        links = inline.children or []
        if opening.type != "paragraph_open" or opening.level or len(links) < 3:
            continue
        first, *inner, last = links
        if (first.type, last.type) != ("link_open", "link_close") or first.markup == "autolink":
            continue
        label = "".join(one.content for one in inner)
        plain = all(one.type == "text" for one in inner)
        if plain and label != first.attrGet("href"):
            opening.attrSet("class", "button")


def _hold_back_urls(token: Token, urls: list[str]) -> None:
    for name in ("href", "src"):
        url = token.attrGet(name)
        if not isinstance(url, str):
            continue
        if OPEN in url:
            urls.append(url)
            token.attrSet(name, f"{OPEN_URL}{len(urls) - 1}{CLOSE_URL}")
        else:
            token.attrSet(name, safe_url(url))
