"""What the command line prints, and asks: nothing that comes from elsewhere can steer the terminal.

Names, messages and texts of a server, of a file or of a customer may hold control characters, and ones that turn the
direction of writing. Whatever is printed here shows them as escapes, such as `\\x1b`.
"""

import re
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

# Control characters but for the tab and the end of a line, marks of direction, other ends of lines, lone surrogates.
_STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: str) -> str:
    """A text that a terminal only shows."""
    return _STEERS.sub(_escape, text)


def one_line(text: str) -> str:
    """As `clean`, and in one line: for names."""
    return clean(text).replace("\n", "\\n").replace("\t", "\\t")


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


class Terminal(Console):
    """rich's console, that prints no control character but its own."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces of what is printed."""
        for segment in super().render(renderable, options):
            if segment.control or not _STEERS.search(segment.text):
                yield segment
            else:
                yield Segment(clean(segment.text), segment.style)


out = Terminal(highlight=False, soft_wrap=True)
err = Terminal(stderr=True, highlight=False, soft_wrap=True)


def agreed(steps: Sequence[str], *, yes: bool) -> bool:
    """Whether a person wants these steps, of which each asks for a yes. Without a terminal that is `yes` alone."""
    if yes or not steps:
        return True
    err.print("this needs a yes:", style="yellow")
    for step in steps:
        err.print(f"  {step}", markup=False)
    if not sys.stdin.isatty():
        err.print("there is no terminal to ask on: look at it with --dry-run, then say --yes")
        return False
    err.print("Go on? [y/N] ", end="", markup=False)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
