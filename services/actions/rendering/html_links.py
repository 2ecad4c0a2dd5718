"""Makes the addresses safe in an author's HTML once its values are filled in: none leads to a script.

Escaping keeps a value inside its quotes. What it does as an address is known only once the address is whole.
Code that browsers run by themselves (`<script>`, `onclick` and the like) is removed, since no mail needs it.
"""

from html import escape
from html.parser import HTMLParser

from services.actions.rendering.links import safe_url

_ADDRESSES = frozenset(
    (
        "href",
        "src",
        "action",
        "formaction",
        "xlink:href",
        "background",
        "poster",
        "cite",
        "data",
        "srcset",
        "ping",
    )
)
_PICTURES = ("cid:", *(f"data:image/{kind};base64," for kind in ("png", "gif", "jpeg", "webp")))


def with_safe_links(html: str) -> str:
    """The HTML with harmful addresses replaced by `#`, and handlers and scripts removed; every other
    tag is unchanged."""
    parser = _Parser(html)
    parser.feed(html)
    parser.close()
    return parser.finished()


class _Parser(HTMLParser):
    """Copies what it reads, tag by tag; only a tag with something harmful in it is rewritten."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=False)
        self._html = html
        self._lines = [0]
        for line in html.split("\n"):
            self._lines.append(self._lines[-1] + len(line) + 1)
        self._pieces: list[str] = []
        self._copied = 0
        self._script = False  # what stands here is one

    def finished(self) -> str:
        """The whole result. A script without an end goes on to the end of the document."""
        return "".join([*self._pieces, "" if self._script else self._html[self._copied :]])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An opening tag."""
        written = self.get_starttag_text() or ""
        kept = [(name, _kept(name, value)) for name, value in attrs if not name.startswith("on")]
        if tag == "meta" and any(name == "http-equiv" and value != "Content-Type" for name, value in attrs):
            kept = []
        if tag == "script":
            self._replace(written, "")
            self._script = True
        if tag == "script" or kept == attrs:
            return
        end = " /" if written.rstrip(">").endswith("/") else ""
        self._replace(written, f"<{tag}{''.join(map(_attribute, kept))}{end}>")

    def handle_endtag(self, tag: str) -> None:
        """A closing tag."""
        if tag == "script" and self._script:
            self._copied = self._html.index(">", self._place()) + 1
            self._script = False

    def _replace(self, written: str, by: str) -> None:
        place = self._place()
        self._pieces += (self._html[self._copied : place], by)
        self._copied = place + len(written)

    def _place(self) -> int:
        line, column = self.getpos()
        return self._lines[line - 1] + column


def _kept(name: str, value: str | None) -> str | None:
    if value is None or name not in _ADDRESSES:
        return value
    bare = value.strip().lower()
    if bare.startswith("#") or (name in ("src", "background") and bare.startswith(_PICTURES)):
        return value
    parts = value.split(",") if name == "srcset" else [value]
    return value if all(safe_url(part) != "#" for part in parts) else "#"


def _attribute(attribute: tuple[str, str | None]) -> str:
    name, value = attribute
    return f" {name}" if value is None else f' {name}="{escape(value)}"'
