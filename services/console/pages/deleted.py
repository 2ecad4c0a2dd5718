"""What was deleted, at its old address: its versions, and the way to bring it back."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, NamedTuple

from starlette.responses import Response

from backbone.yaml.writing import yaml_text
from services.console.api import ApiError
from services.console.document_kinds import KINDS as WRITTEN
from services.console.document_kinds import READ_ONLY
from services.console.render import segment
from services.console.routing import Handler, change
from services.console.visit import Visit

LIMIT = 20
NO_PART = READ_ONLY | {"status", "plays"}  # of what a version says


class Kind(NamedTuple):
    """Documents that keep their versions: where the API has them, their list, and the scope that changes them."""

    noun: str
    api: str
    title: str
    home: str
    write: str


class Version(NamedTuple):
    """A version; `yaml`: what it says, empty for a deletion."""

    number: int
    by: str
    at: str
    sentence: str
    yaml: str


KINDS: Mapping[str, Kind] = {
    kind.noun: kind
    for kind in (
        Kind("rule", "/v1/rules", "Rules", "/rules", "rules:write"),
        Kind("template", "/v1/templates", "Templates", "/templates", "actions:write"),
        *(
            Kind(one.noun, one.api, one.title, one.home, one.write)
            for one in WRITTEN.values()
            if not one.single
        ),
    )
}


def page_of(thing: str) -> str | None:
    """The page of what the audit calls `rule/support-spike`; None if it has none here."""
    noun, _, name = thing.partition("/")
    return f"{KINDS[noun].home}/{segment(name)}" if noun in KINDS and name else None


async def page(visit: Visit, error: ApiError) -> Response | None:
    """The page to show in place of this error, if it is that a document is not in force any more, or not yet."""
    path, name = visit.request.scope["path"], visit.request.path_params.get("name")
    kind = next((one for one in KINDS.values() if path.startswith(f"{one.home}/")), None)
    if error.status != 404 or visit.request.method != "GET" or kind is None or name is None:
        return None
    if await _found(visit.api.get(kind.api + "/{}", name)) is not None:
        return None  # something else is missing
    return await _shown(visit, kind, str(name))


async def _shown(visit: Visit, kind: Kind, name: str, refused: ApiError | None = None) -> Response | None:
    cursor = visit.query.get("cursor")
    found = await _found(visit.api.get(kind.api + "/{}/versions", name, limit=LIMIT, cursor=cursor))
    if found is None:
        return None
    versions = versions_of(found["items"])
    return await visit.page(
        "deleted.html",
        refused.status if refused else 200,
        kind=kind,
        name=name,
        versions=versions,
        deletion=next((one for one in versions if not one.yaml), None),
        next_cursor=found["next_cursor"],
        at=f"{kind.home}/{segment(name)}",
        refused=refused,
    )


async def _found(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except ApiError:
        return None


def versions_of(items: Sequence[Mapping[str, Any]]) -> list[Version]:
    """The versions as the page shows them."""
    return [
        Version(
            item["version"],
            item["changed_by"],
            item["changed_at"],
            item.get("sentence") or "",
            "" if is_deletion(item) else yaml_text(said_of(item)),
        )
        for item in items
    ]


def is_deletion(item: Mapping[str, Any]) -> bool:
    """Whether a version says that there is nothing from here on: rules say so by their status."""
    return bool(item.get("deleted")) or item.get("status") == "deleted"


def said_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """What a version says, without what the API tells of it."""
    return {name: value for name, value in item.items() if name not in NO_PART and value is not None}


def _restore(kind: Kind) -> Handler:
    async def restore(visit: Visit) -> Response:
        name, version = visit.part("name"), str(visit.form.get("version", ""))
        at = f"{kind.home}/{segment(name)}"
        try:
            await visit.api.send("POST", kind.api + "/{}/versions/{}/publish", name, version, body={})
        except ApiError as error:
            if error.status not in {409, 422}:
                raise
            return await _shown(visit, kind, name, error) or visit.go(kind.home)
        status = " It is a draft until it is activated." if kind.noun == "rule" else ""
        return visit.go(at, f"{name} is back, as version {version} has it.{status}")

    return restore


ROUTES = [change(f"{kind.home}/{{name}}/restore", _restore(kind)) for kind in KINDS.values()]
