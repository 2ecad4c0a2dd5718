"""Finds what is probably wrong with a playbook's holdout and goal: nothing to judge by, or what cannot be reached."""

from collections.abc import Iterator

from schemas.event import MERGED, OWN_PREFIX, is_reserved
from schemas.lint.outline import PlaybookOutline
from schemas.lint.similar_names import alike
from schemas.lint.single import Facts, LintWarning
from schemas.playbook import PlaybookIn

ENDINGS = frozenset({"account.deleted", MERGED})  # after these, nothing of the account is watched


def lint_goal(body: PlaybookIn) -> list[LintWarning]:
    """The warnings about a playbook's holdout and goal by themselves."""
    return list(_goal(body))


def _goal(body: PlaybookIn) -> Iterator[LintWarning]:
    if body.goal is None:
        if body.holdout:
            yield _warning("holdout", "without a goal, nothing tells what the holdout is to show: add a goal")
        return
    for type_ in body.goal.types:
        if type_ in ENDINGS:
            yield _warning(
                "goal.event", f"can never be reached: after {type_} the account is watched no more"
            )
        elif type_.startswith(OWN_PREFIX) and body.holdout:
            why = f"{type_} comes only of plays that run: nobody who is held out can reach it"
            yield _warning("goal.event", f"{why}; name what the customer does")


def unsent(book: PlaybookOutline, facts: Facts) -> list[LintWarning]:
    """The warning to a rule that the goal of the playbook which it starts has never been seen on the log."""
    if not facts.paths or not book.goal or any(_seen(type_, facts) for type_ in book.goal):
        return []
    near = [other for type_ in book.goal if (other := alike(type_, facts.paths)) is not None]
    hint = f"; did you mean {near[0]}?" if near else ""
    said = f"the goal of {book.name} cannot be reached: no event of type {' or '.join(book.goal)}"
    return [_warning("playbook", f"{said} has been seen in the log so far{hint}")]


def _seen(type_: str, facts: Facts) -> bool:
    """Whether events of the type have come; of those that the catalog does not keep, nobody can tell."""
    return type_ == "*" or type_ in facts.paths or is_reserved(type_)


def _warning(field: str, message: str) -> LintWarning:
    return {"field": field, "message": message}
