"""A letter of blocks as a mail: an HTML part in the brand's layout, and a text part that says the same. Pure."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import msgspec

from services.actions.rendering.jobs import Mail
from services.actions.rendering.layout import Look, document


class Link(msgspec.Struct, frozen=True):
    """Words that lead somewhere."""

    words: str
    url: str


class Line(msgspec.Struct, frozen=True):
    """One line; `small`: what stands below it, in less prominent letters."""

    parts: Sequence[str | Link]
    small: str = ""


class Heading(msgspec.Struct, frozen=True):
    """The heading of a part."""

    words: str


class Paragraph(msgspec.Struct, frozen=True):
    """A paragraph."""

    words: str


class Quote(msgspec.Struct, frozen=True):
    """A text that somebody wrote, with its line breaks."""

    words: str


class Fields(msgspec.Struct, frozen=True):
    """Names with their values."""

    rows: Sequence[tuple[str, Line]]


class Lines(msgspec.Struct, frozen=True):
    """A list."""

    lines: Sequence[Line]


_SMALL = "font-size: 14px; opacity: 0.75"  # no colour: it is to be read on light and on dark
Block = Heading | Paragraph | Quote | Fields | Lines


class Letter(msgspec.Struct, frozen=True):
    """What a mail says. `because`: why it came, which stands at its foot."""

    subject: str
    heading: str
    blocks: Sequence[Block]
    button: Link
    because: str


def rendered(letter: Letter, brand: Mapping[str, Any], off: Link) -> Mail:
    """The mail of a letter; `off` leads to where such mails are turned off."""
    how = "Whoever runs Touchline can turn mails about tasks off, for you or for all (task-mails)"
    body = f"<h1>{escape(letter.heading)}</h1>\n{''.join(map(_html, letter.blocks))}"
    body += f'<p class="button">{_link(letter.button)}</p>\n'
    foot = f'<div class="foot"><p>{escape(letter.because)}</p><p>{escape(how)}: {_link(off)}.</p></div>\n'
    html = document(escape(letter.subject), body, foot, Look.of({"brand": brand}, "en"))
    texts = [letter.heading, *map(_text, letter.blocks), f"{letter.button.words}:\n{letter.button.url}"]
    text = "\n\n".join(texts) + f"\n\n-- \n{letter.because}\n{how}: {off.url}\n"
    return Mail(letter.subject, html, text)


def _html(block: Block) -> str:
    match block:
        case Heading():
            return f"<h2>{escape(block.words)}</h2>\n"
        case Paragraph():
            return f"<p>{escape(block.words)}</p>\n"
        case Quote():
            return f"<blockquote><p>{_broken(block.words)}</p></blockquote>\n"
        case Fields():
            rows = "".join(
                f'<tr><th scope="row">{escape(name)}</th><td>{_line(line)}</td></tr>'
                for name, line in block.rows
            )
            return f"<table>{rows}</table>\n"
        case Lines():
            return f"<ul>{''.join(f'<li>{_line(line)}</li>' for line in block.lines)}</ul>\n"


def _line(line: Line) -> str:
    shown = "".join(_link(part) if isinstance(part, Link) else escape(part) for part in line.parts)
    return f'{shown}<br><span style="{_SMALL}">{escape(line.small)}</span>' if line.small else shown


def _link(link: Link) -> str:
    return f'<a href="{escape(link.url)}">{escape(link.words)}</a>'


def _broken(text: str) -> str:
    return "<br>\n".join(map(escape, text.splitlines()))


def _text(block: Block) -> str:
    match block:
        case Heading():
            return f"{block.words}\n{'-' * len(block.words)}"
        case Paragraph():
            return block.words
        case Quote():
            return "\n".join(f"> {line}".rstrip() for line in block.words.splitlines())
        case Fields():
            return "\n".join(f"{name}: {_bare(line)}" for name, line in block.rows)
        case Lines():
            return "\n".join(f"* {_bare(line)}{_below(line)}" for line in block.lines)


def _bare(line: Line) -> str:
    return "".join(part.words if isinstance(part, Link) else part for part in line.parts)


def _below(line: Line) -> str:
    urls = [part.url for part in line.parts if isinstance(part, Link)]
    return "".join(f"\n  {one}" for one in [line.small, *urls] if one)
