"""What a server holds of documents, and where; the same as a file would hold it."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from schemas.files import KINDS
from services.cli.client import Client

PATHS = {"rule": "rules", "playbook": "playbooks", "template": "templates", "endpoint": "endpoints"}
SINGLE = {
    "tiers": "tiers",
    "aliases": "aliases",
}  # kinds of which there is always one, without a name of its own
# In a document of the server as fields that a file may have too, but not what they say.
KEPT_BACK = {"secret", "backfill"}

Key = tuple[str, str]  # kind and name
Item = dict[str, Any]  # a document as the API shows it


def address(kind: str, name: str) -> str:
    """Where the API has a document."""
    return f"/v1/{SINGLE[kind]}" if kind in SINGLE else f"/v1/{PATHS[kind]}/{name}"


def label(kind: str, name: str) -> str:
    """A document as people read of it."""
    return kind if kind in SINGLE else f"{kind} {name}"


def everything(client: Client) -> dict[Key, Item]:
    """Every document of the server; a single one only if it was ever saved."""
    held: dict[Key, Item] = {}
    for kind, path in PATHS.items():
        held |= {(kind, item["name"]): item for item in client.items(f"/v1/{path}")}
    for kind, path in SINGLE.items():
        if not client.reaches(f"/v1/{path}"):
            continue
        item = client.call("GET", f"/v1/{path}")
        if item.get("version"):
            held[kind, kind] = item
    return held


def as_filed(kind: str, item: Item) -> Item:
    """A document of the server as a file would hold it."""
    known = set(_fields(kind)) - KEPT_BACK
    return {key: value for key, value in item.items() if key in known and value is not None}


def _fields(kind: str) -> Iterator[str]:
    for name, field in KINDS[kind].model_fields.items():
        yield field.alias or name


def normal(kind: str, body: Item) -> Item:
    """A document in one form, whichever way it was written; what is compared. One that is invalid stays as it is."""
    try:
        model = KINDS[kind].model_validate(body)
    except ValidationError:  # saved by another version of Touchline
        return body
    dumped: Item = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {key: value for key, value in dumped.items() if key not in KEPT_BACK}
