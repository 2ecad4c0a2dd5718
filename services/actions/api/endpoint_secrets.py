"""The secrets of endpoints: kept when a save masks them or leaves them out, and never shown again."""

import base64
import secrets
from collections.abc import Mapping
from typing import Any

from backbone.documents import api
from backbone.documents.store import StoredDocument
from backbone.errors import FieldError, Invalid
from schemas.endpoint import MASKED, SECRET_PREFIX, masked

SECRET_BYTES = 32
FRESH = "secret_is_new"  # in a stored endpoint: whether this save made or changed the secret
_NONE_STORED = "is masked, and nothing is stored that it could stand for"


def stored(doc: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """The stored form of an endpoint. `before`: the one in force, whose secrets stay unless others are given.

    It keeps its signing secret unless a new one is given; if it signs and has none, one is made.
    """
    held = before or {}
    wrong: list[FieldError] = []
    kept = {
        **doc,
        "headers": _headers(doc, held.get("headers") or {}, wrong),
        "auth": _auth(doc, held.get("auth") or {}, wrong),
    }
    if kept["auth"] and any(name.lower() == "authorization" for name in kept["headers"] or ()):
        wrong.append(FieldError(field="auth", message="there is a header Authorization already"))
    if wrong:
        raise Invalid(wrong)
    secret = doc.get("secret") or held.get("secret") or (make_secret() if doc.get("sign", True) else None)
    kept["secret"] = secret
    kept[FRESH] = secret is not None and secret != held.get("secret")
    return {name: value for name, value in kept.items() if value is not None}


def _headers(
    doc: Mapping[str, Any], held: Mapping[str, str], wrong: list[FieldError]
) -> Mapping[str, str] | None:
    if "headers" not in doc:
        return held or None
    before = {name.lower(): value for name, value in held.items()}
    found: dict[str, str] = {}
    for name, value in (doc["headers"] or {}).items():
        if value == MASKED:
            value = before.get(name.lower())
            if value is None:
                wrong.append(FieldError(field=f"headers.{name}", message=_NONE_STORED))
        if value is not None:
            found[name] = value
    return found or None


def _auth(
    doc: Mapping[str, Any], held: Mapping[str, Any], wrong: list[FieldError]
) -> Mapping[str, Any] | None:
    if "auth" not in doc:
        return held or None
    given = doc["auth"]
    if given is None:
        return None
    if given.get("bearer") is not None:
        return {"bearer": _kept(given["bearer"], held.get("bearer"), "auth.bearer", wrong)}
    basic = given["basic"]
    before = (held.get("basic") or {}).get("password")
    password = _kept(basic.get("password", before), before, "auth.basic.password", wrong)
    return {"basic": {"username": basic["username"], "password": password}}


def _kept(given: str | None, held: str | None, field: str, wrong: list[FieldError]) -> str | None:
    value = held if given == MASKED else given
    if value is None:
        wrong.append(FieldError(field=field, message=_NONE_STORED if given == MASKED else "is required"))
    return value


def given(stored: StoredDocument) -> dict[str, Any]:
    """The body of a saved endpoint, with its secrets."""
    return {name: value for name, value in api.given(stored).items() if name != FRESH}


def make_secret() -> str:
    """A new signing secret in the form of Standard Webhooks."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def hidden(stored: StoredDocument) -> dict[str, Any]:
    """A version as it is shown: its signing secret left out, its other secrets masked."""
    return {name: value for name, value in masked(api.show(stored)).items() if name != FRESH}


def shown_once(stored: StoredDocument) -> dict[str, Any]:
    """The answer to a save, with the signing secret if this save made or changed it."""
    shown = hidden(stored)
    return {**shown, "secret": stored.doc["secret"]} if stored.doc.get(FRESH) else shown
