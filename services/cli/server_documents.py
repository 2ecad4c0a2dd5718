"""The documents of a server and their addresses, in the form that a file would have."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from schemas.endpoint import MASKED, masked
from schemas.json_schemas import KINDS
from schemas.source import secrets_of, without_secrets
from services.cli.client import ApiError, Client

PATHS = {
    "rule": "rules",
    "playbook": "playbooks",
    "template": "templates",
    "endpoint": "endpoints",
    "source": "sources",
}
CHECKED_SECRETS = frozenset({"endpoint", "source"})  # kinds with secrets, which only the server can compare
SINGLE = {
    "tiers": "tiers",
    "policy": "policy",
    "aliases": "aliases",
    "brand": "brand",
    "task-mails": "task-mails",
}  # kinds of which there is always one, without a name of its own
# Fields of a server's document that a file may have too, and that are not part of its content.
KEPT_BACK = {"secret", "secrets", "backfill"}
# Fields that stay as the server has them where a file leaves them out, by kind.
STAYING = {"rule": ("status",), "endpoint": ("headers", "auth")}

Key = tuple[str, str]  # kind and name
Item = dict[str, Any]  # a document as the API shows it


def address(kind: str, name: str) -> str:
    """The API's path of a document."""
    return f"/v1/{SINGLE[kind]}" if kind in SINGLE else f"/v1/{PATHS[kind]}/{name}"


def holds_secrets(kind: str, body: Item) -> bool:
    """Whether a document in a file has secrets of its own, which nobody but the server can compare."""
    if kind == "source":
        return any(one != MASKED for one in secrets_of(body["verify"]))
    if kind != "endpoint":
        return False
    auth = body.get("auth") or {}
    parts = (auth.get("basic") or {}, auth.get("oauth2") or {})
    given = [body.get("secret"), *(body.get("secrets") or ()), *(body.get("headers") or {}).values()]
    given += [auth.get("bearer"), parts[0].get("password"), parts[1].get("client_secret")]
    return "secrets" in body or any(one not in (None, MASKED) for one in given)


def label(kind: str, name: str) -> str:
    """How messages name a document."""
    return kind if kind in SINGLE else f"{kind} {name}"


@dataclass(frozen=True)
class ServerDocument:
    """The documents of a server, and the kinds that could not be read, each with the reason."""

    documents: dict[Key, Item]
    unseen: dict[str, str]


def everything(client: Client, wanted: Collection[str]) -> ServerDocument:
    """Everything the server has; a single document only if it was ever saved.

    A kind that is not `wanted` may be left out: its service is not among the addresses, or the key lacks the scope.
    """
    held = ServerDocument({}, {})
    for kind, path in (PATHS | SINGLE).items():
        if kind not in wanted and not client.reaches(f"/v1/{path}"):
            held.unseen[kind] = "TOUCHLINE_URL does not name the service that keeps them"
            continue
        try:
            held.documents.update(_of_kind(client, kind, f"/v1/{path}"))
        except ApiError as error:
            if error.status != 403 or kind in wanted:
                raise
            held.unseen[kind] = str(error)
    return held


def _of_kind(client: Client, kind: str, path: str) -> dict[Key, Item]:
    if kind not in SINGLE:
        return {(kind, item["name"]): item for item in client.items(path)}
    item = client.call("GET", path)
    return {(kind, kind): item} if item.get("version") else {}


def as_filed(kind: str, item: Item) -> Item:
    """A document of the server as a file would hold it."""
    known = set(_fields(kind)) - KEPT_BACK
    return {key: value for key, value in item.items() if key in known and value is not None}


def _fields(kind: str) -> Iterator[str]:
    for name, field in KINDS[kind].model_fields.items():
        yield field.alias or name


def normal(kind: str, body: Item) -> Item:
    """A document in one form for comparing, however it was written. An invalid one stays as it is."""
    try:
        model = KINDS[kind].model_validate(body)
    except ValidationError:  # saved by another version of Touchline
        return body
    dumped: Item = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    if kind == "endpoint":
        dumped = masked(dumped)  # the server does not show its secrets, so that there is nothing to compare
    if kind == "source":
        dumped["verify"] = without_secrets(dumped["verify"])
    return {key: value for key, value in dumped.items() if key not in KEPT_BACK}
