"""The figures as bars, in SVG, without a library: each as a multiple of what we aim for, which is one line for all."""

from pathlib import Path
from xml.sax.saxutils import escape

from bench.measure import LATENCIES, LESS_IS_BETTER, Result

ROW, LEFT, UNIT, MOST = 24, 230, 170, 3.0  # pixels; a bar ends at three times its goal
GOOD, BAD = "#2a7d4f", "#c2571a"


def draw(results: list[Result], path: Path) -> None:
    """Write the picture."""
    rows = [one for one in results if one.goal is not None]
    height, width = ROW * len(rows) + 64, LEFT + int(UNIT * MOST) + 230
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        '<g font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="18" font-weight="bold">How near to the goal (the line): longer is better</text>',
    ]
    for number, one in enumerate(rows):
        parts += _bar(one, 32 + number * ROW)
    bottom = 32 + len(rows) * ROW
    parts.append(f'<line x1="{LEFT + UNIT}" x2="{LEFT + UNIT}" y1="26" y2="{bottom}" stroke="black"/>')
    parts.append(f'<text x="{LEFT + UNIT}" y="{bottom + 16}" text-anchor="middle">goal</text>')
    path.write_text("\n".join([*parts, "</g></svg>"]) + "\n", encoding="utf-8")


def _bar(one: Result, top: int) -> list[str]:
    goal, figure = one.goal or 1.0, one.figure
    times = goal / max(figure, goal / MOST) if one.path in LESS_IS_BETTER else figure / goal
    length = max(0.0, min(times, MOST)) * UNIT
    said = escape(f"{_figure(one)}, goal {_goal(one)}")
    return [
        f'<text x="{LEFT - 8}" y="{top + 14}" text-anchor="end">{escape(_name(one))}</text>',
        f'<rect x="{LEFT}" y="{top + 2}" width="{length:.1f}" height="16" fill="{GOOD if one.met else BAD}"/>',
        f'<text x="{max(LEFT + length, LEFT + UNIT) + 6:.1f}" y="{top + 14}">{said}</text>',
    ]


def _name(one: Result) -> str:
    if one.path in LATENCIES:
        return f"{one.path}, {one.unit.removeprefix('ms ')}"
    return one.path if one.rules is None else f"{one.path}, {one.rules:,} rule{'' if one.rules == 1 else 's'}"


def _figure(one: Result) -> str:
    if one.share is None:
        return f"{one.value:,.1f} {one.unit.split()[0]}"
    return f"{one.share:.2f} ×" if _is_ratio(one) else f"{one.share:.1%}"


def _goal(one: Result) -> str:
    if one.share is None:
        return f"{one.goal:g}"
    return f"{one.goal:g} ×" if _is_ratio(one) else f"{one.goal:.0%}"


def _is_ratio(one: Result) -> bool:
    return (one.goal or 0) > 1
