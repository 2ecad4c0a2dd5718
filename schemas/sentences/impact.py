"""Says in plain words what a playbook did, from the figures that the API shows. Pure.

sentence(figures, goal=True)
It helps: 60 of 120 accounts with a play reached the goal in time (50 %), and 18 of 60 that were held out (30 %). …
"""

from collections.abc import Mapping
from typing import Any

from schemas.sentences.wording import counted, number

LEAST = 20  # complete plays of a group, with fewer nothing is said
Figures = Mapping[str, Any]


def sentence(figures: Figures, *, goal: bool) -> str:
    """What the figures of `GET /v1/playbooks/{name}/impact` mean. `goal`: whether the playbook has one."""
    if not goal and not figures["treated"]["complete"] and not figures["holdout"]["complete"]:
        return "The playbook has no goal, so nothing tells what it does."
    verdict = figures["verdict"]
    if verdict == "no_holdout":
        return f"Nobody is held out, so nothing tells what would have come without it: {_treated(figures)}."
    if verdict == "too_few":
        return _too_few(figures)
    said = {"helps": "It helps", "hurts": "It hurts"}.get(verdict, "No difference seen")
    return f"{said}: {_treated(figures)}, and {_held_out(figures)}. {_lift(figures)}{_needed(figures)}"


def _too_few(figures: Figures) -> str:
    treated, held_out = figures["treated"]["complete"], figures["holdout"]["complete"]
    return (
        f"Too few to tell: the time for the goal is over for {counted(treated, 'account')} with a play and for "
        f"{number(held_out)} held out, and {LEAST} of each are the least.{_needed(figures)}"
    )


def _treated(figures: Figures) -> str:
    return f"{_of(figures['treated'])} with a play reached the goal in time{_rate(figures['treated'])}"


def _held_out(figures: Figures) -> str:
    return f"{_of(figures['holdout'])} held out{_rate(figures['holdout'])}"


def _of(group: Figures) -> str:
    return f"{number(group['reached'])} of {counted(group['complete'], 'account')}"


def _rate(group: Figures) -> str:
    return "" if group["rate"] is None else f" ({_rounded(100 * group['rate'])} %)"


def _lift(figures: Figures) -> str:
    lift = figures["lift"]
    points, low, high = (_rounded(lift[name]) for name in ("points", "low", "high"))
    return (
        f"That is a lift of {points} percentage points; with {_rounded(100 * lift['level'])} % confidence it lies "
        f"between {low} and {high}."
    )


def _needed(figures: Figures) -> str:
    needed = figures["needed"]
    if not needed:
        return ""
    return f" A lift as seen could be told from none once {number(needed)} more are complete in the smaller group."


def _rounded(value: float) -> str:
    return number(round(value, 1))
