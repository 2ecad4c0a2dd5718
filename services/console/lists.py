"""Lists: which filters of the API a page takes from its query, and what a chosen few of the rows are."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.console.visit import Visit

SHOWN = 50  # rows of a page
MOST_CHOSEN = 200  # rows that one form may name


async def listed(visit: Visit, path: str, filters: Sequence[str], **fixed: Any) -> Mapping[str, Any]:
    """One page of a list of the API, narrowed by those of these filters that stand in the query."""
    asked = {name: visit.query.get(name) for name in [*filters, "cursor"]}
    answer: Mapping[str, Any] = await visit.api.get(path, **{"limit": SHOWN, **asked, **fixed})
    return answer


def is_narrowed(visit: Visit, filters: Sequence[str]) -> bool:
    """Whether any of these filters is set: an empty list then means something else."""
    return any(visit.query.get(name) for name in filters)


def chosen(visit: Visit, name: str = "id") -> list[str]:
    """The rows that a form names, each once, in their order."""
    return list(dict.fromkeys(str(one) for one in visit.form.getlist(name)))[:MOST_CHOSEN]
