"""What the command line prints and asks. No text from elsewhere can steer the terminal."""

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from backbone.terminal_text import STEERS, clean


class Terminal(Console):
    """rich's console, which prints no control character but its own."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces of what is printed."""
        for segment in super().render(renderable, options):
            if segment.control or not STEERS.search(segment.text):
                yield segment
            else:
                yield Segment(clean(segment.text), segment.style)


out = Terminal(highlight=False, soft_wrap=True)
err = Terminal(stderr=True, highlight=False, soft_wrap=True)


def agreed(steps: Sequence[str], *, yes: bool) -> bool:
    """Whether a person confirms these steps. Without a terminal, `yes` alone decides."""
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
