"""The secrets of sources: kept when a save masks them or leaves them out, and never shown again."""

from collections.abc import Mapping, Sequence
from typing import Any

from backbone.documents import api
from backbone.documents.store import StoredDocument
from backbone.errors import FieldError, Invalid
from schemas.endpoint import MASKED
from schemas.source import SECRET_FIELDS, VARIABLE, masked, secrets_of, without_secrets

_NONE_STORED = "is masked, and nothing is stored that it could stand for"


def stored(doc: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """The stored form of a source. `before`: the one in force, whose secrets stay unless others are given.

    Another scheme needs secrets of its own. Raises `Invalid`.
    """
    verify: Mapping[str, Any] = doc["verify"]
    held = (before or {}).get("verify") or {}
    scheme = verify["scheme"]
    if scheme == "none":
        return dict(doc)
    name = "password" if scheme == "basic" else "secret"
    field = next((one for one in SECRET_FIELDS if verify.get(one) is not None), name)
    known = secrets_of(held) if held.get("scheme") == scheme else []
    secrets = _kept(secrets_of(verify), known, f"verify.{field}")
    return {**doc, "verify": {**without_secrets(verify), name: secrets if len(secrets) > 1 else secrets[0]}}


def _kept(given: Sequence[str], held: Sequence[str], field: str) -> Sequence[str]:
    """The secrets given, with those that are stored where `***` stands, or where none are given."""
    if not given and not held:
        raise Invalid([FieldError(field=field, message="is required")])
    if any(VARIABLE.search(one) for one in given):
        message = "holds a variable, which `touchline apply` would fill in: give the secret itself"
        raise Invalid([FieldError(field=field, message=message)])
    unnamed = [one for one in held if one not in given]
    wanted = sum(one == MASKED for one in given)
    if not given:
        return held
    if wanted and wanted != len(unnamed):
        message = f"must have *** for each of the {len(unnamed)} stored secrets" if unnamed else _NONE_STORED
        raise Invalid([FieldError(field=field, message=message)])
    left = iter(unnamed)
    return [next(left) if one == MASKED else one for one in given]


def differ(after: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether two stored sources have other secrets."""
    return secrets_of(after["verify"]) != secrets_of(before.get("verify") or {})


def hidden(stored: StoredDocument) -> dict[str, Any]:
    """A version as it is shown: its secrets masked."""
    return masked(api.show(stored))
