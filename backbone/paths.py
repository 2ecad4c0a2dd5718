"""Names in addresses: any text, a `/` in it sent as `%2F`."""

from fastapi import Request


def ends_apart(request: Request, piece: str) -> bool:
    """Whether the address ends in this piece, apart from what stands before it: `/accounts/a%2Fb/events`.

    Routes see addresses decoded. There the events of the account `a` and the account `a/events` look the same.
    """
    raw: bytes | None = request.scope.get("raw_path")
    path = request.scope["path"].encode("utf-8", "surrogatepass") if raw is None else raw.partition(b"?")[0]
    return bool(path.endswith(f"/{piece}".encode()))
