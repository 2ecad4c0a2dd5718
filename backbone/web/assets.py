"""Files for web pages, from `backbone/static`: served to anybody, under an address with a hash of their content.

    url_of("docs.js")          # "static/3f2a90c41b7e/docs.js": relative, for pages at the top
    assets_router()            # GET /static/{digest}/{path}

A client may cache such an address for ever. A requested name is looked up among the known names, and never becomes
a path.
"""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter, Request, Response

from backbone.errors import NotFound
from backbone.web.api_keys import open_route

FOLDER = Path(__file__).parents[1] / "static"
KEPT = "public, max-age=31536000, immutable"
_TEXTS = {".js": "text/javascript", ".css": "text/css"}  # regardless of the machine's own table


class Asset(NamedTuple):
    """A file's content, plain and compressed."""

    path: str
    media_type: str
    content: bytes
    zipped: bytes
    digest: str


@cache
def assets() -> Mapping[str, Asset]:
    """All files by path, read once."""
    return {asset.path: asset for asset in map(_read, sorted(FOLDER.rglob("*"))) if asset is not None}


def _read(path: Path) -> Asset | None:
    if not path.is_file():
        return None
    content = path.read_bytes()
    kind = _TEXTS.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "text/plain"
    digest = hashlib.sha256(content).hexdigest()[:12]
    return Asset(path.relative_to(FOLDER).as_posix(), kind, content, gzip.compress(content, mtime=0), digest)


def url_of(path: str) -> str:
    """The address of a file, relative to the top. Raises `KeyError`."""
    return f"static/{assets()[path].digest}/{path}"


def assets_router() -> APIRouter:
    """`/static`."""
    router = APIRouter(include_in_schema=False)

    @router.get("/static/{digest}/{path:path}", dependencies=[open_route])
    def static(digest: str, path: str, request: Request) -> Response:
        asset = assets().get(path)
        if asset is None or asset.digest != digest:
            raise NotFound(f"there is nothing at {request.url.path[:200]}")
        headers = {"Cache-Control": KEPT, "Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff"}
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(asset.content, headers=headers, media_type=asset.media_type)
        headers["Content-Encoding"] = "gzip"
        return Response(asset.zipped, headers=headers, media_type=asset.media_type)

    return router
