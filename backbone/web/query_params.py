"""Query parameters: a route refuses undeclared ones, and those that are given twice.

`guard(app)` adds a check of the whole query to every route, right after the check of its key, so that no new route
can forget it. Routes that other systems call with parameters of their own are marked `@any_query`.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin

from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams

from backbone.errors import FieldError, Invalid
from backbone.web.validation import MAX_ERRORS, parameter_errors

Handler = TypeVar("Handler", bound=Callable[..., Any])
_SHOWN = 100  # characters of an unknown name that are shown


def any_query(handler: Handler) -> Handler:
    """Decorator: this route ignores query parameters that are not ours."""
    handler.any_query = True  # type: ignore[attr-defined]
    return handler


def guard(app: FastAPI) -> None:
    """Make every route of the app check its query, after its key."""
    for route in app.routes:
        if isinstance(route, APIRoute) and not guarded(route) and not takes_any(route):
            keys = sum(hasattr(each.call, "route_scope") for each in route.dependant.dependencies)
            look = Dependant(call=_look_of(route), request_param_name="request", path=route.path_format)
            route.dependant.dependencies.insert(keys, look)


def takes_any(route: APIRoute) -> bool:
    """Whether the route is marked `@any_query`."""
    return bool(getattr(route.endpoint, "any_query", False))


def guarded(route: APIRoute) -> bool:
    """Whether the route checks its query."""
    return any(hasattr(each.call, "looks_at_query") for each in route.dependant.dependencies)


def check(route: APIRoute, given: QueryParams) -> None:
    """Raise `Invalid` for query parameters that are unknown or given twice; then wrong values are listed too."""
    fields = list(_fields(route.dependant))
    several = {field.alias: _is_list(field.field_info.annotation) for field in fields}
    found = _strangers(given, several)
    if found:
        raise Invalid([*found, *parameter_errors(request_params_to_args(fields, given)[1])][:MAX_ERRORS])


def _look_of(route: APIRoute) -> Callable[[Request], Any]:
    async def look(request: Request) -> None:
        if request.scope["query_string"]:
            check(route, request.query_params)

    look.looks_at_query = True  # type: ignore[attr-defined]
    return look


def _fields(dependant: Dependant) -> Iterable[Any]:
    yield from dependant.query_params
    for inner in dependant.dependencies:
        yield from _fields(inner)


def _is_list(annotation: Any) -> bool:
    return any(get_origin(kind) is list for kind in (annotation, *get_args(annotation)))


def _strangers(given: QueryParams, several: Mapping[str, bool]) -> list[FieldError]:
    errors = []
    for name in given:
        if name not in several:
            errors.append(FieldError(field=name[:_SHOWN], message=_unknown(name[:_SHOWN], list(several))))
        elif not several[name] and len(given.getlist(name)) > 1:
            errors.append(FieldError(field=name, message="may be given only once"))
    return errors


def _unknown(name: str, known: Sequence[str]) -> str:
    if not known:
        return "is not a known query parameter; this call takes none"
    near = difflib.get_close_matches(name.lower(), known, n=1)
    allowed = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(known)}"
    return f"is not a known query parameter; {allowed}"
