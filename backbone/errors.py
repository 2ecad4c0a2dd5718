"""The tree of errors. Foreign exceptions are translated where they are caught; HTTP answers follow from it.

TouchlineError
├── ConfigurationError      a start refused: a setting, a port, a folder, a schema that does not fit
├── BadRequest         400  not JSON, not what the route reads
├── Unauthorized       401  ├── Forbidden          403  ├── NotFound           404
├── Conflict           409  └── NameTaken, StateConflict (the state does not allow it)
├── PreconditionFailed 412  ├── TooLarge           413  ├── UnsupportedMedia   415
├── Invalid            422  with every wrong field
├── RateLimited        429  with the seconds to wait
├── BadGateway         502  another server that this took did not do its part
└── Unavailable        503  └── LogUnavailable, DatabaseUnavailable
"""

from collections.abc import Mapping, Sequence
from typing import TypedDict


class FieldError(TypedDict):
    """One wrong field: its path in the body (`when.threshold.within`) and what is wrong with it."""

    field: str
    message: str


class TouchlineError(Exception):
    """Anything Touchline itself finds wrong. `message` is one sentence for people; `code` is for programs."""

    status = 500
    code = "internal"
    title = "Internal error"

    def __init__(self, message: str = "", *, code: str | None = None) -> None:
        super().__init__(message or self.title)
        self.message = message or self.title
        self.extra: Mapping[str, object] = {}  # further members of the answer
        if code is not None:
            self.code = code

    @property
    def headers(self) -> Mapping[str, str]:
        """HTTP headers that go with the answer."""
        return {}

    @property
    def errors(self) -> Sequence[FieldError]:
        """The wrong fields, where the error is about fields."""
        return ()


class ConfigurationError(TouchlineError):
    """A start refused; the message is the one line that the user sees."""

    code = "configuration"
    title = "The configuration does not work"


class BadRequest(TouchlineError):
    """The request cannot be read at all."""

    status = 400
    code = "bad_request"
    title = "The request cannot be read"


class Unauthorized(TouchlineError):
    """No key, or one that is unknown or revoked."""

    status = 401
    code = "unauthorized"
    title = "An API key is needed"

    @property
    def headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": 'Bearer realm="touchline"'}


class Forbidden(TouchlineError):
    """The key does not carry the scope."""

    status = 403
    code = "forbidden"
    title = "The key lacks the scope"


class NotFound(TouchlineError):
    """There is nothing of that name."""

    status = 404
    code = "not_found"
    title = "Not found"


class Conflict(TouchlineError):
    """What is there does not allow it."""

    status = 409
    code = "conflict"
    title = "Conflict"


class NameTaken(Conflict):
    """The name is in use."""

    code = "name_taken"
    title = "The name is taken"


class StateConflict(Conflict):
    """The thing's state does not allow this verb."""

    code = "state"
    title = "The state does not allow it"


class PreconditionFailed(TouchlineError):
    """`If-Match` names another version than the present one."""

    status = 412
    code = "stale"
    title = "It was changed in the meantime"


class TooLarge(TouchlineError):
    """A limit on size was passed."""

    status = 413
    code = "too_large"
    title = "Too large"


class UnsupportedMedia(TouchlineError):
    """A content type or encoding that the route does not read."""

    status = 415
    code = "unsupported_media_type"
    title = "Unsupported media type"


class Invalid(TouchlineError):
    """Input that was read but is wrong; `errors` names every wrong field with its path."""

    status = 422
    code = "invalid"
    title = "The input is invalid"

    def __init__(
        self, errors: Sequence[FieldError] | str = (), message: str = "", *, code: str | None = None
    ) -> None:
        self._errors: list[FieldError] = (
            [{"field": "", "message": errors}] if isinstance(errors, str) else list(errors)
        )
        super().__init__(message or summary(self._errors), code=code)

    @property
    def errors(self) -> Sequence[FieldError]:
        return self._errors


class RateLimited(TouchlineError):
    """Too much at once; `retry_after` is in seconds."""

    status = 429
    code = "rate_limited"
    title = "Too many requests"

    def __init__(self, message: str = "", *, retry_after: float = 1.0, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(max(1, round(self.retry_after)))}


class BadGateway(TouchlineError):
    """Another server, which this request needed, did not do its part; the message is its answer."""

    status = 502
    code = "bad_gateway"
    title = "Another server did not do its part"


class Unavailable(TouchlineError):
    """Something we stand on cannot be reached now; the same request may work later."""

    status = 503
    code = "unavailable"
    title = "Temporarily unavailable"
    retry_after = 1

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.retry_after)}


class LogUnavailable(Unavailable):
    """The log cannot take or give records now."""

    code = "log_unavailable"
    title = "The log cannot be reached"


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached, or a lock was not granted in time."""

    code = "database_unavailable"
    title = "The database cannot be reached"


def summary(errors: Sequence[FieldError]) -> str:
    """The first error as a sentence, and how many more there are."""
    if not errors:
        return Invalid.title
    first = errors[0]
    text = f"{first['field']}: {first['message']}" if first["field"] else first["message"]
    return text if len(errors) == 1 else f"{text} (and {len(errors) - 1} more)"
