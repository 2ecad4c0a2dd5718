"""Draws a rehearsal in the terminal: what would go out when, who would get the most, some mails, what would fail."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from backbone.terminal_text import clean, one_line
from services.cli.backtest_chart import chart

JSON = dict[str, Any]
MARKS = {"email": "█", "task": "▓", "webhook": "░"}
NOUNS = {"email": "mails", "task": "tasks", "webhook": "webhooks"}
SAMPLES = 3
LINES = 14  # of a mail
ERRORS = 10
BUSIEST = 10


def draw_rehearsal(out: Console, rehearsal: JSON) -> None:
    """One playbook's rehearsal."""
    out.print()
    out.print(f"[bold]{escape(one_line(rehearsal['playbook']))}[/], rehearsed", soft_wrap=True)
    out.print(headline(rehearsal), markup=False, soft_wrap=True)
    if rehearsal["by_day"]:
        for line in chart(rehearsal["by_day"], MARKS):
            out.print(line, soft_wrap=True)
    _people(out, rehearsal["recipients"])
    if rehearsal["assignees"]:
        out.print(_assignees(rehearsal["assignees"]))
    for sample in rehearsal["samples"][:SAMPLES]:
        _sample(out, sample)
    _errors(out, rehearsal["errors"])


def headline(rehearsal: JSON) -> str:
    """What would happen, in a few lines."""
    ends = _counted(rehearsal["by_status"].items())
    made = _counted((NOUNS[channel], count) for channel, count in rehearsal["actions"].items())
    left_out = _counted(rehearsal["skipped"].items())
    lines = [f"{rehearsal['plays']:,} plays{f' ({ends})' if ends else ''}: {made or 'nothing goes out'}"]
    if left_out:
        lines.append(f"left out: {left_out}")
    if rehearsal["breaker_at"] is not None:
        lines.append(
            f"its limit is reached at {rehearsal['breaker_at']}: from then on the playbook is paused"
        )
    return "\n".join(lines)


def _counted(numbers: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in numbers if count)


def _people(out: Console, recipients: JSON) -> None:
    if not recipients["people"]:
        return
    said = f"{recipients['people']:,} people get mails, one of them {recipients['most']:,}"
    out.print(f"{said}; 95 of 100 get at most {recipients['p95']:,}", soft_wrap=True)
    table = Table("who, most mails first", "mails", box=None)
    for one in recipients["busiest"][:BUSIEST]:
        table.add_row(escape(one_line(one["recipient"])), f"{one['emails']:,}")
    out.print(table)


def _assignees(assignees: list[JSON]) -> Table:
    table = Table("who, most tasks first", "tasks", "most in one week", "its Monday", box=None)
    for one in assignees[:BUSIEST]:
        name = "(nobody)" if one["assignee"] is None else one_line(one["assignee"])
        table.add_row(escape(name), f"{one['tasks']:,}", f"{one['tasks_that_week']:,}", one["busiest_week"])
    if len(assignees) > BUSIEST:
        table.add_row(f"and {len(assignees) - BUSIEST:,} more", "", "", "")
    return table


def _sample(out: Console, sample: JSON) -> None:
    head = f"to {one_line(str(sample['recipient']))} of {one_line(sample['account'])}"
    out.print()
    out.print(Text(head, style="dim"), soft_wrap=True)
    out.print(Text(one_line(sample["subject"]), style="bold"), soft_wrap=True)
    lines = clean(sample["text"]).strip().splitlines()
    shown = lines[:LINES] + (["…"] if len(lines) > LINES else [])
    for line in shown:
        out.print(Text(f"  {line}".rstrip()), soft_wrap=True)


def _errors(out: Console, errors: list[JSON]) -> None:
    for one in errors[:ERRORS]:
        place = f"{one_line(one['account'])}, step {one_line(one['step'])}"
        out.print(f"[red]fails[/] {escape(place)}: {escape(one_line(one['message']))}", soft_wrap=True)
    if len(errors) > ERRORS:
        out.print(f"[red]fails[/] and {len(errors) - ERRORS:,} more", soft_wrap=True)
