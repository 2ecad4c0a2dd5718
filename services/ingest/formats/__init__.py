"""The event formats. To add one, write its file, a line in `FORMATS`, and a test (docs/recipes/event-format.md)."""

from collections.abc import Mapping

from services.ingest.formats import cloudevents, native, segment
from services.ingest.formats.base import EventFormat, register

FORMATS = register(
    native.FORMAT,
    cloudevents.FORMAT,
    segment.FORMAT,
)
_CLAIMS = [(one, one.claim) for one in FORMATS.values() if one.claim is not None]
_BY_TYPE = {kind: one for one in FORMATS.values() for kind in one.content_types}
_SHOWN = sorted(kind for one in FORMATS.values() for kind, shown in one.content_types.items() if shown)
WANTED = "; or ".join(
    [f"the Content-Type should be one of {', '.join(_SHOWN)}", *(claim.hint for _, claim in _CLAIMS)]
)


def chosen(headers: Mapping[str, str]) -> EventFormat | None:
    """The format of a request to `POST /v1/events` with these headers (names in lower case); None if no format fits."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    for one, claim in _CLAIMS:
        if claim.holds(kind, headers):
            return one
    return _BY_TYPE.get(kind)
