"""`/rules/{name}/versions`: who changed what, and any version put into force again."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from starlette.responses import Response

from services.console.api import ApiError
from services.console.pages.rule import framed, path_of, refused
from services.console.routing import change, show
from services.console.rule_differences import Change, document_of, lines_changed, sentences_changed
from services.console.visit import Visit

LIMIT = 20


class Version(NamedTuple):
    """A version, and how it differs from the one before. Both lists are empty for the first."""

    saved: Mapping[str, Any]
    deleted: bool
    sentences: Sequence[Change]
    lines: Sequence[Change]


async def versions(visit: Visit) -> Response:
    """The history."""
    return await framed(visit, "Versions", "rule_versions.html", _versions(visit))


async def _versions(visit: Visit) -> dict[str, Any]:
    cursor = visit.query.get("cursor")
    found = await visit.api.get("/v1/rules/{}/versions", visit.part("name"), limit=LIMIT, cursor=cursor)
    return {"versions": history(found["items"]), "next_cursor": found["next_cursor"]}


def history(items: Sequence[Mapping[str, Any]]) -> list[Version]:
    """Each version with its difference from the next older one of the list. `items`: newest first."""
    found = []
    for item, before in zip(items, [*items[1:], None], strict=True):
        deleted = item.get("status") == "deleted"
        if before is None or deleted or before.get("status") == "deleted":
            found.append(Version(item, deleted, (), ()))
            continue
        sentences = sentences_changed(before.get("sentence"), item.get("sentence"))
        found.append(Version(item, deleted, sentences, lines_changed(document_of(before), document_of(item))))
    return found


async def publish(visit: Visit) -> Response:
    """Put a saved version into force."""
    name, version = visit.part("name"), visit.part("version")
    tag = str(visit.form.get("etag") or "") or None
    try:
        path = "/v1/rules/{}/versions/{}/publish"
        await visit.api.send("POST", path, name, version, body={}, if_match=tag)
    except ApiError as error:
        return await refused(visit, error)
    return visit.go(path_of(name, "versions"), f"Version {version} of {name} is in force now.")


ROUTES = [
    show("/rules/{name}/versions", versions),
    change("/rules/{name}/versions/{version:int}/publish", publish),
]
