"""Where the time goes: flame graphs of the engine and of the durable path, sampled while the benchmark's own code runs.

`python -m bench.flame` writes docs/performance/memory.svg and durable.svg; `python -m bench.flame memory` one of them.
py-spy samples a child that it starts itself, which needs no root where a process may trace its children.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from backbone.gc_tuning import collect_less
from bench import durable, engine
from bench.workload import rule_documents, rule_set

FOLDER = Path(__file__).parents[1] / "docs" / "performance"
RULES, SAMPLES_A_SECOND = 100, 300
KEY = "a box is a function, as wide as its share of the time; its callers stand above it"
WIDTH, ROW, LETTER, LEAST = 1_200, 17, 6.3, 0.0015  # pixels; the least share that is drawn
FRAME = re.compile(r"^(?P<name>.+) \((?P<file>[^()]*?)(?::\d+)?\)$")
# Whose code it is, by its path, and its colour.
ROOMS = {
    "services/rules/engine/": "#f2a65a", "<": "#f2a65a", "schemas/": "#e8cf6a", "services/": "#8fbf7f",
    "backbone/": "#7fb3c8", "bench/": "#cccccc", "": "#d9b8c4",
}  # fmt: skip
LEGEND = ("engine", "schemas", "services", "backbone", "bench", "libraries")


def _memory() -> None:
    engine.rate(rule_set(rule_documents(RULES)))


def _durable() -> None:
    durable.rate(RULES, [])


WRITER = "RulesWorker._write (services/rules/worker.py)"  # its thread commits while the first judges

# What to run, what to call it, and the frame under which its measured part lies.
WORK: dict[str, tuple[Callable[[], None], str, str]] = {
    "memory": (_memory, "The engine in memory", "run (bench/engine.py)"),
    "durable": (_durable, "From the embedded log to committed states", "Bench.work_off (bench/durable.py)"),
}


@dataclass
class Frame:
    """A function as called from one place, with the samples in it and below."""

    samples: int = 0
    below: dict[str, "Frame"] = field(default_factory=dict)

    def add(self, stack: list[str], samples: int) -> None:
        """One stack, outermost first."""
        at = self
        at.samples += samples
        for name in stack:
            at = at.below.setdefault(name, Frame())
            at.samples += samples


def main(names: list[str]) -> int:
    """Sample and draw each; the exit status."""
    FOLDER.mkdir(exist_ok=True)
    for name in names or list(WORK):
        _, title, start = WORK[name]
        root = Frame()
        for stack, samples in _sampled(name):
            if start in stack:
                root.add(stack[stack.index(start) + 1 :], samples)
            elif WRITER in stack:
                root.add(stack[stack.index(WRITER) :], samples)
        if not root.samples:
            print(f"{name}: no samples; may this process trace its children?", file=sys.stderr)
            return 1
        place = FOLDER / f"{name}.svg"
        place.write_text(_svg(root, title), encoding="utf-8")
        print(f"{place}: {root.samples} samples, {place.stat().st_size // 1000} kB")
    return 0


def _sampled(name: str) -> Iterator[tuple[list[str], int]]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "stacks")
        sampler = ["py-spy", "record", "-f", "raw", "-F", "-r", str(SAMPLES_A_SECOND), "-o", str(place), "--"]
        command = [str(Path(sys.executable).with_name(sampler[0])), *sampler[1:]]
        command += [sys.executable, "-m", "bench.flame", "--work", name]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"py-spy ended with {done.returncode}: {done.stderr.strip()[-400:]}")
        for line in place.read_text(encoding="utf-8").splitlines():
            stack, _, samples = line.rpartition(" ")
            yield [_short(frame) for frame in stack.split(";")], int(samples)


def _short(frame: str) -> str:
    """Without the line number, and without the path of this machine's libraries."""
    found = FRAME.match(frame)
    if found is None:
        return frame
    file = found["file"].rpartition("site-packages/")[2]
    return f"{found['name'].replace('<locals>.', '')} ({file})"


def _svg(root: Frame, title: str) -> str:
    depth = _depth(root, root.samples * LEAST)
    height = (depth + 1) * ROW + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
        ' font-family="monospace" font-size="10.5">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="4" y="15">{escape(title)}, {RULES} rules: {KEY}</text>',
    ]
    for number, (name, colour) in enumerate(zip(LEGEND, _colours(), strict=True)):
        parts.append(f'<rect x="{4 + number * 90}" y="22" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{18 + number * 90}" y="31">{name}</text>')
    parts += _boxes(root, 0.0, 38, WIDTH / root.samples, root.samples * LEAST)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _colours() -> list[str]:
    return list(dict.fromkeys(ROOMS.values()))


def _depth(frame: Frame, least: float) -> int:
    return 1 + max((_depth(each, least) for each in frame.below.values() if each.samples >= least), default=0)


def _boxes(frame: Frame, x: float, y: int, scale: float, least: float) -> Iterator[str]:
    for name, each in sorted(frame.below.items(), key=lambda item: -item[1].samples):
        if each.samples >= least:
            yield _box(name, x, y, each.samples * scale)
            yield from _boxes(each, x, y + ROW, scale, least)
            x += each.samples * scale


def _box(name: str, x: float, y: int, width: float) -> str:
    file = name.rpartition("(")[2]
    colour = next(colour for room, colour in ROOMS.items() if file.startswith(room))
    letters = int((width - 4) / LETTER)
    text = name if len(name) <= letters else name.partition(" (")[0][: max(letters, 0)]
    label = f'<text x="{x + 2:.1f}" y="{y + 12}">{escape(text)}</text>' if letters > 2 else ""
    return (
        f'<g><title>{escape(name)} {width / WIDTH:.1%}</title><rect x="{x:.1f}" y="{y}"'
        f' width="{max(width - 0.5, 0.3):.1f}" height="{ROW - 1}" fill="{colour}"/>{label}</g>'
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        collect_less()
        WORK[sys.argv[2]][0]()
    else:
        sys.exit(main(sys.argv[1:]))
