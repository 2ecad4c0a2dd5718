"""The secrets of endpoints: kept when a save masks them or leaves them out, and never shown again."""

import base64
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from backbone.documents import api
from backbone.documents.store import StoredDocument
from backbone.errors import FieldError, Invalid
from schemas.endpoint import MASKED, MOST_SECRETS, SECRET_PREFIX, masked, secrets_of

SECRET_BYTES = 32
FRESH = "secret_is_new"  # in a stored endpoint: whether this save made a signing secret, or was given one as `secret`
_NONE_STORED = "is masked, and nothing is stored that it could stand for"


def stored(doc: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """The stored form of an endpoint. `before`: the one in force, whose secrets stay unless others are given.

    It keeps its signing secrets unless others are given; if it signs and has none, one is made.
    """
    held = before or {}
    wrong: list[FieldError] = []
    kept = {
        **doc,
        "headers": _headers(doc, held.get("headers") or {}, wrong),
        "auth": _auth(doc, held.get("auth") or {}, wrong),
        "secrets": _signing(doc, secrets_of(held), wrong),
    }
    if kept["auth"] and any(name.lower() == "authorization" for name in kept["headers"] or ()):
        wrong.append(FieldError(field="auth", message="there is a header Authorization already"))
    if wrong:
        raise Invalid(wrong)
    kept[FRESH] = kept["secrets"][-1:] == [doc.get("secret")] and doc["secret"] not in secrets_of(held)
    if not kept["secrets"] and doc.get("sign", True):
        kept["secrets"], kept[FRESH] = [make_secret()], True
    left_out = {"secret"} if kept["secrets"] else {"secret", "secrets"}
    return {name: value for name, value in kept.items() if value is not None and name not in left_out}


def _signing(doc: Mapping[str, Any], held: Sequence[str], wrong: list[FieldError]) -> list[str]:
    """The signing secrets: those of `secrets`, or `secret` alone, or those that are stored."""
    listed = list(held)
    if "secrets" in doc:
        listed = _listed(doc["secrets"] or [], held, wrong)
    single = doc.get("secret")
    if single is None or single in listed:
        return listed if single is None or "secrets" in doc else [single]
    if doc.get("secrets"):
        wrong.append(FieldError(field="secret", message="is not among the secrets"))
    return [single]


def _listed(given: Sequence[str | None], held: Sequence[str], wrong: list[FieldError]) -> list[str]:
    """The list with `***` replaced by what is stored: each `***` and `null` stands for a stored secret that is not
    itself in the list, in their order."""
    unnamed = [one for one in held if one not in given]
    places = [one for one in given if one is None or one == MASKED]
    if MASKED in places and len(places) != len(unnamed):
        message = _NONE_STORED
        if unnamed:
            message = f"must have *** or null for each of the {len(unnamed)} stored secrets, in their order"
        wrong.append(FieldError(field="secrets", message=message))
        return []
    left = iter(unnamed)
    stands_for = [(one, next(left, None) if one in (None, MASKED) else one) for one in given]
    found = [stored for one, stored in stands_for if one is not None and stored is not None]
    if len(found) > MOST_SECRETS or len(set(found)) < len(found):
        wrong.append(FieldError(field="secrets", message=f"must be {MOST_SECRETS} different ones at most"))
    return found


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
    if given.get("oauth2") is not None:
        client = given["oauth2"]
        before = (held.get("oauth2") or {}).get("client_secret")
        secret = _kept(client.get("client_secret"), before, "auth.oauth2.client_secret", wrong)
        return {"oauth2": {**client, "client_secret": secret}}
    basic = given["basic"]
    before = (held.get("basic") or {}).get("password")
    password = _kept(basic.get("password"), before, "auth.basic.password", wrong)
    return {"basic": {"username": basic["username"], "password": password}}


def _kept(given: str | None, held: str | None, field: str, wrong: list[FieldError]) -> str | None:
    value = held if given in (None, MASKED) else given
    if value is None:
        wrong.append(FieldError(field=field, message=_NONE_STORED if given == MASKED else "is required"))
    return value


def given(stored: StoredDocument) -> dict[str, Any]:
    """The body of a saved endpoint, with its secrets."""
    return {name: value for name, value in api.given(stored).items() if name != FRESH}


def differ(after: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether two stored endpoints have other secrets."""
    secret = ("headers", "auth")
    return secrets_of(after) != secrets_of(before) or any(after.get(one) != before.get(one) for one in secret)


def make_secret() -> str:
    """A new signing secret in the form of Standard Webhooks."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def hidden(stored: StoredDocument) -> dict[str, Any]:
    """A version as it is shown: its secrets masked."""
    return {name: value for name, value in masked(api.show(stored)).items() if name != FRESH}


def shown_once(stored: StoredDocument) -> dict[str, Any]:
    """The answer to a save, with the signing secret if this save made or changed it."""
    shown = hidden(stored)
    return {**shown, "secret": secrets_of(stored.doc)[-1]} if stored.doc.get(FRESH) else shown
