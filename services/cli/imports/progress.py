"""The bar of an import, on a terminal alone."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from services.cli.terminal import Terminal

Moved = Callable[[int, int, str], None]  # bytes, lines, why it waits


@contextmanager
def bar(path: Path, size: int, err: Terminal) -> Iterator[Moved]:
    """A function to call with how far it is."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.fields[lines]:,} lines"),
        TimeRemainingColumn(compact=True),
    )
    shown = not err.is_dumb_terminal and sys.stderr.isatty()
    with Progress(*columns, console=err, transient=True, expand=True, disable=not shown) as progress:
        task = progress.add_task(path.name, total=size, lines=0)

        def moved(done: int, lines: int, waits: str) -> None:
            said = f"{path.name}: {waits}" if waits else path.name
            progress.update(task, completed=done, lines=lines, description=said)

        yield moved
