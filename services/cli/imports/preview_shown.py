"""Draws what a dry run found, for terminals of any width."""

from collections.abc import Sequence
from typing import Any

import msgspec

from backbone.terminal_text import one_line
from schemas.event import from_microseconds
from services.cli.imports.judge import MOST, NEAR, Judge, Subject, Touched
from services.cli.imports.preview import OfAccounts, OfEvents, OfSuppressions
from services.cli.imports.report import Report
from services.cli.terminal import Terminal

NAMED = 8  # of what is listed in one line
LISTED = 20  # of what is listed in lines of its own
LONGEST = 40  # characters of a value


def accounts(out: Terminal, report: Report, found: OfAccounts) -> None:
    """What a table of accounts would do."""
    head = f"{_times(found.new.count, 'new account')}, {found.changed.count:,} changed"
    _line(out, f"{report.path}: {head}, {_times(found.same, 'row')} without news{_bad(report)}")
    for path, count in found.fields.most_common(LISTED):
        _line(out, f"  {path}: {_times(count, 'change')}")
    if len(found.fields) > LISTED:
        _line(out, f"  … and {len(found.fields) - LISTED:,} more fields")
    for account, differences in found.examples.items():
        said = ", ".join(f"{path} {_value(old)} → {_value(new)}" for path, old, new in differences)
        _line(out, f"  {account}: {said}")
    if found.changed.count > len(found.examples):
        _line(out, f"  … and {found.changed.count - len(found.examples):,} more")
    moved = {tiers: those for tiers, those in found.tiers.items() if tiers[0]}
    if moved:
        _line(out, f"  tiers: {_times(sum(those.count for those in moved.values()), 'change')}")
    for (old, new), those in sorted(found.tiers.items()):
        _line(out, f"  {f'{old} → {new}' if old else f'new, {new}'}: {_names(those.first, those.count)}")


def events(out: Terminal, report: Report, found: OfEvents, *, historical: bool, in_order: bool) -> None:
    """What a file of events would do."""
    count = sum(found.types.values())
    what = "historical, they fire nothing" if historical else "live, rules fire at them"
    _line(
        out,
        f"{report.path}: {_times(count, 'event')} of {_times(len(found.accounts), 'account')}; {what}{_bad(report)}",
    )
    if found.first is not None and found.last is not None:
        first, last = (from_microseconds(time).date() for time in (found.first, found.last))
        _line(out, f"  from {first} to {last}")
    for kind, each in found.types.most_common(NAMED):
        _line(out, f"  {kind}: {each:,}")
    if len(found.types) > NAMED:
        _line(out, f"  … and {len(found.types) - NAMED:,} more types")
    if found.unknown.count:
        _line(
            out, f"  accounts that are new to the server: {_names(found.unknown.first, found.unknown.count)}"
        )
    if found.late and not in_order:
        _line(
            out,
            f"  {_times(found.late, 'event')} more than 7 days behind the newest of the account: rules in force do not "
            'count these; activate a rule with {"backfill": true}, or backtest it, and they count',
        )


def suppressions(out: Terminal, report: Report, found: OfSuppressions) -> None:
    """What a table of suppressions would do."""
    _line(out, f"{report.path}: {found.new:,} new, {found.known:,} suppressed already{_bad(report)}")


def rules(out: Terminal, judge: Judge, touched: Sequence[Touched], *, of_events: bool) -> None:
    """Whom the rules would touch."""
    if not touched:
        _line(out, "rules: none is in force; name some with --rules PATH to see whom they would touch")
        return
    _line(out, f"{_times(len(touched), 'rule')}, over the files and the accounts on the server:")
    quiet = [one.rule.name for one in touched if not (one.fires or one.holds or one.near or one.unjudged)]
    for one in touched:
        if one.rule.name not in quiet:
            _line(
                out, f"  {one.rule.name}{' (shadow: only recorded)' if one.rule.status == 'shadow' else ''}"
            )
        if one.fires:
            _line(out, f"    would fire for {_subjects(one.fires)}")
        if one.cooling:
            _line(out, f"    in its cooldown for {_subjects(one.cooling)}")
        if one.holds:
            holds = [_subject((each.account, each.contact, each.key)) for each in one.holds]
            _line(out, f"    would hold afterwards for {_names(holds, len(holds))}")
        if one.near:
            _line(out, f"    {one.near:,} would be near ({NEAR:.0%} or more)")
        if one.unjudged:
            _line(out, "    counts events; see it with touchline backtest, which reads the server's log")
    if quiet:
        _line(out, f"  would touch nobody: {_names(quiet, len(quiet))}")
    if judge.left_out:
        _line(out, f"  judged by the first {MOST:,} events alone")
    if of_events:
        _line(out, "  events that the server has already are not counted here")


def _line(out: Terminal, text: str) -> None:
    out.print(one_line(text), markup=False)


def _times(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _bad(report: Report) -> str:
    return f"; {_times(report.bad, 'line')} would not be taken" if report.bad else ""


def _names(first: Sequence[str], count: int) -> str:
    more = count - len(first[:NAMED])
    return f"{count:,} ({', '.join(first[:NAMED])}{f' and {more:,} more' if more > 0 else ''})"


def _subjects(found: Sequence[Subject]) -> str:
    return _names([_subject(one) for one in found], len(found))


def _subject(one: Subject) -> str:
    account, contact, key = one
    return account + (f"/{contact}" if contact is not None else "") + (f" ({key})" if key is not None else "")


def _value(value: Any) -> str:
    said = msgspec.json.encode(value).decode() if value is not None else "nothing"
    return said if len(said) <= LONGEST else said[:LONGEST] + "…"
