"""A request to a hook made up from a body as a value or as text: for previews and for tests in files."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from services.ingest.sources.bodies import FORM
from services.ingest.sources.verify import HookRequest


def made_up(body: Any, headers: Mapping[str, str], url: str = "") -> HookRequest:
    """The request: a text is the raw body, an object with the headers of a form is a form, all else is JSON."""
    lower = {name.lower(): value for name, value in headers.items()}
    if isinstance(body, str):
        raw = body.encode("utf-8", "surrogateescape")
    elif lower.get("content-type", "").startswith(FORM) and isinstance(body, dict):
        raw = urlencode(body).encode()
    else:
        raw = msgspec.json.encode(body)
    return HookRequest(raw, lower, urlsplit(url).query, url)
