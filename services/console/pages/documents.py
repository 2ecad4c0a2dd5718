"""Documents as YAML: the single ones and those with names, with a check as one types, versions, and a way back."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from pydantic import ValidationError
from starlette.responses import Response

from schemas.playbook import PlaybookIn
from schemas.policy import PolicyDoc
from schemas.rule import TiersDoc
from schemas.sentences import of_playbooks, of_settings
from services.console.api import ApiError, new_once
from services.console.document_kinds import KINDS, Kind, as_yaml, from_yaml
from services.console.lists import listed
from services.console.render import segment
from services.console.routing import Handler, PageRoute, change, show
from services.console.visit import Visit, quietly

WORDS: Mapping[str, Callable[[Any], str]] = {
    "playbook": lambda document: of_playbooks.sentence(PlaybookIn.model_validate(document)),
    "policy": lambda document: of_settings.policy(PolicyDoc.model_validate(document)),
    "tiers": lambda document: of_settings.tiers(TiersDoc.model_validate(document)),
}

OfKind = Callable[[Kind, Visit], Awaitable[Response]]


async def documents(kind: Kind, visit: Visit) -> Response:
    """The list of those that have names."""
    found = await listed(visit, kind.api, ())
    return await visit.page(
        "documents.html", kind=kind, documents=found["items"], next_cursor=found["next_cursor"]
    )


async def single(kind: Kind, visit: Visit) -> Response:
    """The one of its kind, as it is in force."""
    saved = await visit.api.get(kind.api)
    return await _form(kind, visit, as_yaml(kind, saved if saved["version"] else kind.example), saved)


async def new(kind: Kind, visit: Visit) -> Response:
    """A form for one that is not there yet."""
    return await _form(kind, visit, as_yaml(kind, kind.example), None)


async def named(kind: Kind, visit: Visit) -> Response:
    """One of them, in a form, with its versions."""
    saved = await visit.api.get(kind.api + "/{}", visit.part("name"))
    return await _form(kind, visit, as_yaml(kind, saved), saved)


async def _form(
    kind: Kind, visit: Visit, text: str, saved: Mapping[str, Any] | None, refused: ApiError | None = None
) -> Response:
    versions = []
    if saved is not None and not kind.single:
        asked = visit.api.get(kind.api + "/{}/versions", saved["name"], limit=20)
        versions = (await quietly(asked, {"items": []}))["items"]
    return await visit.page(
        "document_form.html",
        refused.status if refused else 200,
        kind=kind,
        text=text,
        saved=saved,
        versions=versions,
        refused=refused,
        words=words_of(kind, text),
        once=str(visit.form.get("once") or new_once()),
        version=str(visit.form.get("version") or (saved["version"] if saved else "")),
    )


def words_of(kind: Kind, text: str) -> str | None:
    """What the document says, in words, where it can be read and there are words for its kind."""
    found = WORDS.get(kind.noun)
    if found is None:
        return None
    try:
        return found(from_yaml(text))
    except (ApiError, ValidationError):
        return None


async def save(kind: Kind, visit: Visit) -> Response:
    """Save what was written, as a new version in force."""
    text, version = str(visit.form.get("text", "")), str(visit.form.get("version", ""))
    name = str(visit.form.get("name", ""))
    try:
        saved = await _saved(kind, visit, from_yaml(text), name, version)
    except ApiError as error:
        if error.status not in {400, 409, 412, 413, 422}:
            raise
        known = {"name": name, "version": version} if name else {"version": version} if kind.single else None
        return await _form(kind, visit, text, known, error)
    warned = "".join(f" Note: {each['message']}." for each in (saved.get("warnings") or ())[:3])
    secret = f" Its secret, shown this once: {saved['secret']}" if saved.get("secret") else ""
    back = kind.home if kind.single else f"{kind.home}/{segment(saved['name'])}"
    return visit.go(back, f"Saved as version {saved['version']}.{secret}{warned}")


async def _saved(
    kind: Kind, visit: Visit, document: Mapping[str, Any], name: str, version: str
) -> Mapping[str, Any]:
    if kind.single:
        answer = await visit.api.send("PUT", kind.api, body=document, if_match=f'"{version}"')
    elif name:
        answer = await visit.api.send("PUT", kind.api + "/{}", name, body=document, if_match=f'"{version}"')
    else:
        once = str(visit.form.get("once", "")) or new_once()
        answer = await visit.api.send("POST", kind.api, body=document, once=once)
    found: Mapping[str, Any] = answer
    return found


async def check(kind: Kind, visit: Visit) -> Response:
    """What would be wrong with what is written. Nothing is saved."""
    text = str(visit.form.get("text", ""))
    try:
        document = from_yaml(text)
        found = (
            (await visit.api.send("POST", f"{kind.api}/check", body=document))["warnings"]
            if kind.check
            else ()
        )
        return await visit.piece("checked.html", problems=(), warnings=found, words=words_of(kind, text))
    except ApiError as error:
        if error.status not in {400, 422}:
            raise
        return await visit.piece("checked.html", problems=error.errors, warnings=(), words=None)


async def publish(kind: Kind, visit: Visit) -> Response:
    """Put an earlier version into force again."""
    name, version = visit.part("name"), visit.part("version")
    back = f"{kind.home}/{segment(name)}{'/edit' if kind.noun == 'playbook' else ''}"
    try:
        await visit.api.send("POST", kind.api + "/{}/versions/{}/publish", name, version)
    except ApiError as error:
        if error.status not in {409, 422}:
            raise
        return visit.go(back, f"Version {version} was not published: {error.detail}")
    return visit.go(back, f"Version {version} is in force.")


async def delete(kind: Kind, visit: Visit) -> Response:
    """Delete one; the API refuses while something uses it."""
    name = visit.part("name")
    try:
        await visit.api.send("DELETE", kind.api + "/{}", name)
    except ApiError as error:
        if error.status != 409:
            raise
        saved = await visit.api.get(kind.api + "/{}", name)
        return await _form(kind, visit, as_yaml(kind, saved), saved, error)
    return visit.go(f"{kind.home}/{segment(name)}", f"{name} was deleted. Its versions are kept.")


def _of(handler: OfKind, kind: Kind) -> Handler:
    return partial(handler, kind)


def _routes() -> list[PageRoute]:
    routes = []
    for kind in KINDS.values():
        at = f"{kind.home}/{{name}}/edit" if kind.noun == "playbook" else f"{kind.home}/{{name}}"
        routes += [
            change(f"{kind.home}/save", _of(save, kind)),
            change(f"{kind.home}/check", _of(check, kind)),
        ]
        if kind.single:
            routes.append(show(kind.home, _of(single, kind)))
            continue
        if kind.noun != "playbook":
            routes.append(show(kind.home, _of(documents, kind)))
        routes += [
            show(f"{kind.home}/-/new", _of(new, kind), kind.write),
            show(at, _of(named, kind)),
            change(f"{kind.home}/{{name}}/delete", _of(delete, kind)),
            change(f"{kind.home}/{{name}}/versions/{{version}}/publish", _of(publish, kind)),
        ]
    return routes


ROUTES = _routes()
