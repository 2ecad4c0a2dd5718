"""The templates that stand in a playbook's steps themselves, and the paths that its conditions name."""

from collections.abc import Iterator

from schemas.conditions.model import needed_paths
from schemas.playbook import EventMatch, PlaybookIn, Step, WaitEvent
from schemas.tiered import TIERS


def step_lists(body: PlaybookIn) -> Iterator[tuple[str, list[Step]]]:
    """Every list of steps with its path: `steps`, or `steps.high` and so on."""
    if isinstance(body.steps, list):
        yield "steps", body.steps
    else:
        yield from ((f"steps.{tier}", steps) for tier, steps in body.by_tier().items())


def tier_of(path: str) -> str | None:
    """The tier that a path below `steps` belongs to; None: all of them."""
    parts = path.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in TIERS else None


def steps_of(body: PlaybookIn) -> Iterator[tuple[str, Step]]:
    """Every step with its path, those of branches included."""
    for path, steps in step_lists(body):
        yield from _steps(steps, path)


def lists_of(body: PlaybookIn) -> Iterator[tuple[str, list[Step]]]:
    """Every list of steps with its path, those of branches included."""
    yield from step_lists(body)
    for path, step in steps_of(body):
        if step.branch is not None:
            yield f"{path}.branch.then", step.branch.then
            yield f"{path}.branch.else", step.branch.else_


def _steps(steps: list[Step], path: str) -> Iterator[tuple[str, Step]]:
    for place, step in enumerate(steps):
        here = f"{path}.{place}"
        yield here, step
        if step.branch is not None:
            yield from _steps(step.branch.then, f"{here}.branch.then")
            yield from _steps(step.branch.else_, f"{here}.branch.else")


def texts_of(body: PlaybookIn) -> dict[str, str]:
    """The templates that stand in the steps themselves, by path: `steps.high.0.task.title`."""
    found: dict[str, str] = {}
    for path, step in steps_of(body):
        if step.words is not None:
            name, words = step.words
            found |= {f"{path}.{name}.{field}": text for field, text in words.texts()}
    return found


def spans_of(body: PlaybookIn) -> Iterator[tuple[str, str]]:
    """Every wait of a given length, by path: (`steps.high.1.wait`, `7d`)."""
    for path, step in steps_of(body):
        if isinstance(step.wait, str):
            yield f"{path}.wait", step.wait
        elif isinstance(step.wait, WaitEvent):
            yield f"{path}.wait.for", step.wait.for_


def waits_in(steps: list[Step]) -> bool:
    """Whether some step of these, or in a branch of them, waits."""
    return any(step.wait is not None for step in every(steps))


def every(steps: list[Step]) -> Iterator[Step]:
    """These steps and those in branches of them."""
    return (step for _, step in _steps(steps, ""))


def trigger_paths(body: PlaybookIn) -> Iterator[tuple[str, str]]:
    """What exits, the goal, waits and branches need of the trigger, by path: (`exit_when.by`, `key`)."""
    several = isinstance(body.exit_when, list)
    for place, leave in enumerate(body.exits):
        if isinstance(leave, EventMatch) and leave.by is not None:
            yield f"exit_when.{place}.by" if several else "exit_when.by", "key"
    if body.goal is not None and body.goal.by is not None:
        yield "goal.by", "key"
    for path, step in steps_of(body):
        if isinstance(step.wait, WaitEvent) and step.wait.until.by is not None:
            yield f"{path}.wait.until.by", "key"
        elif step.branch is not None:
            for named in needed_paths(step.branch.if_):
                root, _, rest = named.partition(".")
                if root == "trigger" and rest:
                    yield f"{path}.branch.if", rest.split(".")[0]
