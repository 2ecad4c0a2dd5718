"""The rehearsals of `touchline backtest`: each playbook that the rules name, over the triggers that were found.

A playbook, template or sending policy that stands in the files is taken from there, saved or not; any other one is the
server's.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.progress import Progress

from schemas.rehearsal import MAX_TEMPLATES, MAX_TRIGGERS
from services.cli.client import ApiError, Client
from services.cli.documents import Document, FileProblem, FileProblems
from services.cli.long_jobs import ended

PATH = "/v1/rehearsals"
MAX_BYTES = 30 << 20  # of the triggers of one request, of which the server takes 32 MiB
JSON = dict[str, Any]


def rehearse(
    client: Client, bar: Progress, documents: Sequence[Document], found: Iterable[Sequence[JSON]]
) -> list[JSON]:
    """The rehearsals, in the order of their playbooks' names. Raises `FileProblems` where a file is refused.

    `found`: the triggers of each rule. A playbook that is nowhere starts no play, and so has no rehearsal.
    """
    triggers: defaultdict[str, list[JSON]] = defaultdict(list)
    for of_rule in found:
        for trigger in of_rule:
            if trigger["playbook"] is not None:
                triggers[trigger["playbook"]].append(trigger)
    answers = [_rehearsal(client, bar, documents, name, triggers[name]) for name in sorted(triggers)]
    return [answer for answer in answers if answer is not None]


def _rehearsal(
    client: Client, bar: Progress, documents: Sequence[Document], name: str, triggers: list[JSON]
) -> JSON | None:
    here = next((one for one in documents if (one.kind, one.name) == ("playbook", name)), None)
    policy = next((one for one in documents if one.kind == "policy"), None)
    templates = [one for one in documents if one.kind == "template"][:MAX_TEMPLATES]
    brand = next((one for one in documents if one.kind == "brand"), None)
    body = {
        "playbook": name if here is None else here.body,
        "triggers": _fitting(triggers),
        "templates": [one.body for one in templates],
        **({} if brand is None else {"brand": brand.body}),
        **({} if policy is None else {"policy": policy.body}),
        "endpoints": [one.name for one in documents if one.kind == "endpoint"][:MAX_TEMPLATES],
    }
    try:
        return ended(client, bar, PATH, body, name, "rehearsal")
    except ApiError as error:
        if error.status == 404 and here is None:
            said = f"the playbook {name} is in none of the files and not saved: there is nothing to rehearse"
            bar.console.print(said, markup=False, soft_wrap=True)
            return None
        known = {"playbook": here, "policy": policy}
        problems = [problem for wrong in error.errors if (problem := _problem(wrong, known, templates))]
        if not problems:
            raise
        raise FileProblems(problems) from None


def _fitting(triggers: list[JSON]) -> list[JSON]:
    """The earliest of the triggers, as many as one request takes."""
    taken: list[JSON] = []
    size = 0
    for trigger in sorted(triggers, key=lambda one: str(one["at"]))[:MAX_TRIGGERS]:
        size += len(json.dumps(trigger))
        if size > MAX_BYTES:
            break
        taken.append(trigger)
    return taken


def _problem(
    wrong: Any, known: Mapping[str, Document | None], templates: Sequence[Document]
) -> FileProblem | None:
    """The error at its place in the files; None if it is not about them."""
    part, _, field = wrong["field"].partition(".")
    document = known.get(part)
    if document is not None:
        return document.problem(field, wrong["message"])
    place, _, field = field.partition(".")
    if part == "templates" and place.isdigit():
        return templates[int(place)].problem(field, wrong["message"])
    return None
