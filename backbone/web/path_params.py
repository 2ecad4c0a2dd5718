"""Names in addresses: any text, a `/` in it sent as `%2F`."""

from fastapi import Request
from starlette.types import Scope


def ends_apart(request: Request, piece: str) -> bool:
    """Whether the address ends in this piece as a segment of its own: `/accounts/a%2Fb/events`.

    Routes see decoded addresses, in which the events of the account `a` and the account `a/events` look the same.
    """
    return path_ends(request.scope, piece)


def path_ends(scope: Scope, piece: str) -> bool:
    """The same, before there is a request."""
    raw: bytes | None = scope.get("raw_path")
    path = scope["path"].encode("utf-8", "surrogatepass") if raw is None else raw.partition(b"?")[0]
    return bool(path.endswith(f"/{piece}".encode()))
