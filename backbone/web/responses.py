"""JSON answers."""

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import Response


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer, encoded by msgspec (Structs, datetimes and pydantic's dumps alike)."""
    return Response(msgspec.json.encode(content), status, headers, "application/json")
