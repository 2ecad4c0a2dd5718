"""What the command line prints, and asks: nothing that comes from elsewhere can steer the terminal."""

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from backbone.terminal_text import STEERS, clean


class Terminal(Console):
    """rich's console, that prints no control character but its own."""

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
