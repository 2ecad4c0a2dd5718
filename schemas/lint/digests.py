"""Finds what is probably wrong with digests: templates that do not fit them, keys that join what differs, and digests
that nobody gets."""

from collections.abc import Iterator
from typing import Any

from schemas.digest import DigestStep
from schemas.lint.template_names import free_names
from schemas.playbook import PlaybookIn
from schemas.playbook_texts import steps_of, texts_of

ONLY_THERE = ("items", "more")  # names that only a digest's template has
NEVER_THERE = ("account", "tier", "trigger")  # and those that it lacks: each item has its own
# Events of every play with a digest.
AT_ONCE = frozenset({"touchline.play.started", "touchline.play.finished"})
JOINED = ("template", "at", "days", "at_most")  # should be the same for items that go out together


def names_taken(source: str) -> list[str]:
    """Those of the names above that a template takes from its scope; none of one that cannot be parsed."""
    return sorted(free_names(source).intersection((*ONLY_THERE, *NEVER_THERE)))


def doubts(playbook: PlaybookIn) -> Iterator[tuple[str, str]]:
    """What is doubtful in a playbook by itself: (field, message)."""
    for path, source in texts_of(playbook).items():
        for name in (one for one in names_taken(source) if one in ONLY_THERE):
            yield path, f"{name} is there only in the template of a digest"
    steps = [(path, step.digest) for path, step in steps_of(playbook) if step.digest is not None]
    for path, step in steps:
        if step.key is not None and not step.key.strip():
            yield f"{path}.digest.key", "is blank: all digests with such a key and the same recipient are one"
    yield from _joined(steps)
    types = {type_ for one in playbook.exits for type_ in getattr(one, "types", ())}
    for type_ in sorted(types & AT_ONCE if steps else ()):
        yield "exit_when", f"nobody gets its digests: {type_} ends the play before they go out"


def _joined(steps: list[tuple[str, DigestStep]]) -> Iterator[tuple[str, str]]:
    """Steps with one key and recipient whose items go out together, though they say different things of the mail."""
    first: dict[tuple[str, str], tuple[str, DigestStep]] = {}
    for path, step in steps:
        at, other = first.setdefault((step.joined_by, step.to), (path, step))
        for name in JOINED:
            if _value(step, name) != _value(other, name):
                message = f"differs from {at}, which has the same key: the first item of a digest decides"
                yield f"{path}.digest.{name}", message


def _value(step: DigestStep, name: str) -> Any:
    value = getattr(step, name)
    return sorted(value) if isinstance(value, list) else value
