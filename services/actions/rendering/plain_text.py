"""The text part of a mail: from markdown as a tree, or from the HTML of a template that has no `text`."""

from collections.abc import Iterable
from html.parser import HTMLParser

from markdown_it.tree import SyntaxTreeNode

_RULE = "-" * 40


def text_of(node: SyntaxTreeNode) -> str:
    """Markdown as plain text: lists keep their marks, quotes their `>`, and links show their address."""
    match node.type:
        case "root":
            return "\n\n".join(map(text_of, node.children))
        case "bullet_list":
            return "\n".join(_hang("- ", item) for item in node.children)
        case "ordered_list":
            start = int(node.attrs.get("start", 1))
            return "\n".join(_hang(f"{number}. ", item) for number, item in enumerate(node.children, start))
        case "blockquote":
            inner = "\n\n".join(map(text_of, node.children))
            return "\n".join(f"> {line}".rstrip() for line in inner.split("\n"))
        case "table":
            return "\n".join(_row(row) for part in node.children for row in part.children)
        case "hr":
            return _RULE
        case "fence" | "code_block":
            return node.content.rstrip("\n")
        case _:  # paragraphs and headings hold one inline node
            return "".join(_inline(child) for inline in node.children for child in inline.children)


def _hang(mark: str, item: SyntaxTreeNode) -> str:
    inner = "\n".join(map(text_of, item.children))
    return mark + inner.replace("\n", "\n" + " " * len(mark))


def _row(row: SyntaxTreeNode) -> str:
    return " | ".join(text_of(cell) for cell in row.children)


def _inline(node: SyntaxTreeNode) -> str:
    match node.type:
        case "softbreak" | "hardbreak":
            return "\n"
        case "link":
            return _with_address("".join(map(_inline, node.children)), str(node.attrs.get("href", "")))
        case "image" | "text" | "code_inline":
            return node.content
        case _:
            return "".join(map(_inline, node.children))


def _with_address(label: str, url: str) -> str:
    bare = url.removeprefix("mailto:")
    return label if not bare or bare == label else f"{label} ({bare})" if label else bare


_HIDDEN = frozenset(("style", "script", "title", "head"))
_BLOCKS = frozenset((
    "p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "tr", "blockquote", "pre", "hr",
    "section", "article", "header", "footer",
))  # fmt: skip


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0
        self._links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag == "br":
            self.parts.append("\n")
        elif tag == "li":
            self.parts.append("\n- ")
        elif tag in _BLOCKS:
            self.parts.append("\n\n")
        elif tag == "a":
            self._links.append((dict(attrs).get("href") or "", len(self.parts)))

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden -= self._hidden > 0
        elif tag in _BLOCKS:
            self.parts.append("\n\n")
        elif tag == "a" and self._links:
            url, start = self._links.pop()
            self.parts[start:] = [_with_address("".join(self.parts[start:]).strip(), url)]

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            lead, tail = " " * data[:1].isspace(), " " * data[-1:].isspace()
            self.parts.append(lead + " ".join(data.split()) + tail if data.strip() else lead)


def text_of_html(html: str) -> str:
    """An HTML document as plain text: an empty line between blocks, and links with their address."""
    parser = _Text()
    parser.feed(html)
    parser.close()
    return _tidy("".join(parser.parts).split("\n"))


def _tidy(lines: Iterable[str]) -> str:
    """Runs of spaces and of empty lines become one."""
    kept: list[str] = []
    for line in lines:
        bare = " ".join(line.split())
        if bare or (kept and kept[-1]):
            kept.append(bare)
    return "\n".join(kept).strip("\n")
