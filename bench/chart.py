"""The shares as bars, in SVG, without a library: what is measured beside what we aim for."""

from pathlib import Path
from xml.sax.saxutils import escape

from bench.measure import Result

ROW, LEFT, WIDTH = 26, 190, 520


def draw(results: list[Result], path: Path) -> None:
    """Write the picture."""
    rows = [one for one in results if one.share is not None]
    height = ROW * len(rows) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 90}" height="{height}">',
        '<g font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>',
    ]
    for number, one in enumerate(rows):
        top = 20 + number * ROW
        share, goal = one.share or 0.0, one.goal
        name = one.path if one.rules is None else f"{one.path}, {one.rules:,} rules"
        colour = "#2a7d4f" if one.met is not False else "#c2571a"
        parts.append(f'<text x="{LEFT - 10}" y="{top + 14}" text-anchor="end">{escape(name)}</text>')
        parts.append(
            f'<rect x="{LEFT}" y="{top}" width="{min(share, 1) * WIDTH:.1f}" height="18" fill="{colour}"/>'
        )
        parts.append(f'<text x="{LEFT + min(share, 1) * WIDTH + 6:.1f}" y="{top + 14}">{share:.1%}</text>')
        if goal is not None:
            x = LEFT + min(goal, 1) * WIDTH
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 3}" y2="{top + 21}" stroke="black"/>')
    path.write_text("\n".join([*parts, "</g></svg>"]) + "\n", encoding="utf-8")
