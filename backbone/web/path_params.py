"""Names in addresses: any text, with `/` sent as `%2F`."""

from fastapi import Request
from starlette.types import Scope


def ends_apart(request: Request, piece: str) -> bool:
    """Whether the address ends in this piece as a segment of its own, as in `/accounts/a%2Fb/events`.

    Routes see decoded addresses, in which the events of the account `a` look like the account `a/events`.
    """
    return path_ends(request.scope, piece)


def path_ends(scope: Scope, piece: str) -> bool:
    """The same, before there is a `Request`."""
    raw: bytes | None = scope.get("raw_path")
    path = scope["path"].encode("utf-8", "surrogatepass") if raw is None else raw.partition(b"?")[0]
    return bool(path.endswith(f"/{piece}".encode()))
