"""Those treated and those held out, counted from plays in memory. Pure; `storage.impact` counts them in SQL."""

from collections.abc import Iterable

from services.actions.impact.verdict import Group
from services.actions.plays.model import Play


def groups_of(plays: Iterable[Play], clock: int) -> tuple[Group, Group]:
    """Those treated, and those held out, of the plays of one playbook in the order in which they were recorded."""
    first: dict[str, Play] = {}
    for play in sorted((one for one in plays if one.began_at is not None), key=lambda one: one.began_at or 0):
        first.setdefault(play.account, play)
    groups: tuple[list[Play], list[Play]] = ([], [])
    for play in first.values():
        groups[play.status == "held_out"].append(play)
    return _group(groups[0], clock), _group(groups[1], clock)


def _group(plays: list[Play], clock: int) -> Group:
    complete = [one for one in plays if one.goal_until is not None and one.goal_until <= clock]
    return Group(len(plays), len(complete), sum(one.goal_reached_at is not None for one in complete))
