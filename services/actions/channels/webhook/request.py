"""What is sent to an endpoint: the headers and the body; and its secrets taken out of what it answers."""

import base64
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlencode

import msgspec

from services.actions.channels.base import Target, TargetAuth
from services.actions.channels.webhook.signing import id_headers, signatures

LEAST_HIDDEN = 4  # characters of a secret; shorter ones would take words out of everything
_HEADERS = {
    "Accept-Encoding": "identity",
    "User-Agent": "Touchline (webhooks)",
}  # unless the endpoint has its own
_TYPES = {"json": "application/json", "form": "application/x-www-form-urlencoded"}
_to_json = msgspec.json.Encoder().encode


class NotAForm(Exception):
    """A body that cannot be written as a form."""


def request_of(
    target: Target, action: str, timestamp: int, body: Any, token: str | None = None
) -> tuple[dict[str, str], bytes]:
    """The headers and the body of a request; `token`: of an endpoint that takes access tokens. Raises `NotAForm`."""
    written = _form(body) if target.format == "form" else _to_json(body)
    taken = {name.lower() for name in target.headers}
    headers = {name: value for name, value in _HEADERS.items() if name.lower() not in taken} | target.headers
    if target.auth is not None:
        headers["Authorization"] = _authorization(target.auth, token)
    headers |= {"Content-Type": _TYPES[target.format], **id_headers(action, timestamp)}
    if target.sign:
        headers["webhook-signature"] = signatures(action, timestamp, written, target.keys)
    return headers, written


def _authorization(auth: TargetAuth, token: str | None = None) -> str:
    if auth.basic is None:
        return f"Bearer {token or auth.bearer}"
    return basic(auth.basic.username, auth.basic.password)


def basic(username: str, password: str) -> str:
    """The header `Authorization` for a user name and a password."""
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"


def _form(body: Any) -> bytes:
    """The fields of an object: a list is a field several times, an object is JSON, null is left out."""
    if not isinstance(body, dict):
        raise NotAForm("the endpoint takes a form, which needs an object, and the body is none")
    fields = [
        (name, _field(each))
        for name, value in body.items()
        for each in (value if isinstance(value, list) else [value])
        if each is not None
    ]
    return urlencode(fields).encode()


def _field(value: Any) -> str:
    return value if isinstance(value, str) else _to_json(value).decode()


def hide(target: Target, answer: bytes, token: str | None = None) -> bytes:
    """An answer without the endpoint's secrets, which some receivers repeat when they refuse them."""
    return without({*_secrets(target), *([token] if token else [])}, answer)


def without(secrets: Iterable[str], answer: bytes) -> bytes:
    """An answer without these secrets, as they are or as JSON writes them."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= LEAST_HIDDEN:
            for written in {secret, secret.replace("/", r"\/"), _to_json(secret).decode()[1:-1]}:
                answer = answer.replace(written.encode(), b"***")
    return answer


def _secrets(target: Target) -> Iterator[str]:
    for value in target.headers.values():
        yield value
        yield value.rpartition(" ")[2]  # what follows a scheme, as in `Token abc`
    for secret in target.keys:
        yield secret
        yield secret.removeprefix("whsec_")
    auth = target.auth or TargetAuth()
    if auth.bearer is not None:
        yield auth.bearer
    if auth.basic is not None:
        yield auth.basic.password
        yield _authorization(auth).rpartition(" ")[2]
    if auth.oauth2 is not None:
        yield auth.oauth2.client_secret
