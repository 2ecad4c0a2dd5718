"""What is sent to an endpoint: the URL, the headers and the body; and its secrets taken out of what it answers."""

import base64
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec

from schemas.blanks import BlankError, fill_header, fill_url, literals
from services.actions.channels.base import Target, TargetAuth
from services.actions.channels.webhook.signing import id_headers, signatures

LEAST_HIDDEN = 4  # characters of a secret; shorter ones would take words out of everything
USER_AGENT = {"User-Agent": "Touchline (webhooks)"}
_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", **USER_AGENT}  # unless the endpoint has its own
FORM = "application/x-www-form-urlencoded"
_TYPES = {"json": "application/json", "form": FORM}
_to_json = msgspec.json.Encoder().encode


class CannotBeWritten(Exception):
    """An action that does not make a request to its endpoint."""


class Request(NamedTuple):
    """A request as it leaves, but for the headers of the connection."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


def request_of(
    target: Target, action: str, timestamp: int, content: Mapping[str, Any], token: str | None = None
) -> Request:
    """The request that carries an action's `content`: its body, and the values of blanks. Raises `CannotBeWritten`.

    `timestamp`: in seconds. `token`: of an endpoint that takes access tokens.
    """
    body, values = content.get("body"), content.get("values") or {}
    written = _form(body) if target.format == "form" else _to_json(body)
    try:
        url = fill_url(target.url, values)
        own = [(name, fill_header(name, text, values)) for name, text in target.headers.items()]
    except BlankError as error:
        raise CannotBeWritten(str(error)) from error
    headers = {**_fixed(target.format, tuple(own)), **id_headers(action, timestamp)}
    if target.auth is not None:
        headers["Authorization"] = _authorization(target.auth, token)
    if target.sign:
        headers["webhook-signature"] = signatures(action, timestamp, written, target.keys)
    return Request(target.method, url, headers, written)


@lru_cache(maxsize=256)
def _fixed(form: str, own: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    """The headers that are the same for many requests to an endpoint: its own, ours, and the type of the body."""
    taken = {name.lower() for name, _ in own}
    ours = {name: value for name, value in _HEADERS.items() if name.lower() not in taken}
    return {**ours, **dict(own), "Content-Type": _TYPES[form]}


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
        raise CannotBeWritten("the endpoint takes a form, which needs an object, and the body is none")
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
    if not answer:
        return answer
    secrets = _secrets_of(tuple(target.headers.values()), tuple(target.keys), target.auth)
    return without((*secrets, token) if token else secrets, answer)


def without(secrets: Iterable[str], answer: bytes) -> bytes:
    """An answer without these secrets, as they are or as JSON writes them."""
    for written in _written(frozenset(secrets)):
        answer = answer.replace(written, b"***")
    return answer


@lru_cache(maxsize=256)
def _written(secrets: frozenset[str]) -> list[bytes]:
    """The forms of secrets that are looked for, the longest first."""
    forms = {
        form
        for secret in secrets
        if len(secret) >= LEAST_HIDDEN
        for form in (secret, secret.replace("/", r"\/"), _to_json(secret).decode()[1:-1])
    }
    return [form.encode() for form in sorted(forms, key=len, reverse=True)]


@lru_cache(maxsize=256)
def _secrets_of(headers: tuple[str, ...], keys: tuple[str, ...], auth: TargetAuth | None) -> frozenset[str]:
    return frozenset(_secrets(headers, keys, auth or TargetAuth()))


def _secrets(headers: Iterable[str], keys: Iterable[str], auth: TargetAuth) -> Iterator[str]:
    for value in (piece for text in headers for piece in literals(text)):
        yield value
        yield value.rpartition(" ")[2]  # what follows a scheme, as in `Token abc`
    for secret in keys:
        yield secret
        yield secret.removeprefix("whsec_")
    if auth.bearer is not None:
        yield auth.bearer
    if auth.basic is not None:
        yield auth.basic.password
        yield _authorization(auth).rpartition(" ")[2]
    if auth.oauth2 is not None:
        yield auth.oauth2.client_secret
