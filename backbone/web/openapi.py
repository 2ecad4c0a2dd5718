"""The OpenAPI page: FastAPI's, and what it cannot know: scopes, problems, and events, whose bodies are read raw."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema
from starlette.routing import BaseRoute

from backbone.web.api_keys import OPEN

MANNERS = """\
Times are RFC 3339, in UTC. Lists are `{"items": […], "next_cursor": …}`, newest first unless stated
otherwise, and paged with `limit` and `cursor`.

Unknown fields, unknown query parameters and repeated parameters (but for those that are lists) are refused with 422;
`errors` lists each of them, with the nearest known name. You may send back what `GET` shows: its read-only fields
(`version`, `changed_by`, …) are accepted and ignored.
"""
_REF = "#/components/schemas/{model}"
_ERRORS = {
    "400": "The request cannot be read.",
    "401": "The API key is missing, unknown or revoked.",
    "403": "The API key does not have the required scope.",
    "404": "There is no such object.",
    "408": "The body did not arrive in time.",
    "409": "The name is taken, or the current state does not allow the request.",
    "412": "The `If-Match` header names a version that is no longer current.",
    "413": "The body is too large.",
    "415": "The content type is not supported.",
    "422": "The input is invalid. `errors` lists every wrong field.",
    "429": "There were too many requests. `Retry-After` says when to try again.",
    "503": "The log or the database cannot be reached. Try again later.",
}


class WrongField(BaseModel):
    """A field that is wrong."""

    field: str = Field(description="The path of the field in the body.", examples=["when.threshold.within"])
    message: str = Field(
        description="What is wrong, and what is allowed.", examples=["should be a duration, such as 30d"]
    )


class ProblemDetails(BaseModel):
    """An error, as `application/problem+json` (RFC 9457)."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["The input is invalid"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["when.threshold.within: is required"])
    code: str = Field(description="The error code, for programs.", examples=["invalid"])
    errors: list[WrongField] | None = Field(None, description="Every wrong field, if the input is invalid.")


def route_scope(route: BaseRoute) -> str | None:
    """The scope that a route declares by `require`, `open_route` or an endpoint attribute; None if it declares none."""
    if isinstance(route, APIRoute):
        for dependency in _flat(route.dependant):
            scope = getattr(dependency.call, "route_scope", None)
            if scope is not None:
                return str(scope)
    scope = getattr(getattr(route, "endpoint", None), "route_scope", None)
    return None if scope is None else str(scope)


def _flat(dependant: Any) -> Sequence[Any]:
    return [found for inner in dependant.dependencies for found in (inner, *_flat(inner))]


def declared_scopes(app: FastAPI) -> list[tuple[str, str, str | None]]:
    """(method, path, scope, `open`, `any` or None) of every route, for a house test."""
    return [
        (method, route.path, route_scope(route))
        for route in app.routes
        if hasattr(route, "path")
        for method in sorted(getattr(route, "methods", None) or {"*"})
    ]


def install(app: FastAPI) -> None:
    """Make the app's `/openapi.json` ours."""

    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _build(app)
        return app.openapi_schema

    app.openapi = build  # type: ignore[method-assign]


def _build(app: FastAPI) -> dict[str, Any]:
    page = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        summary=app.summary,
        separate_input_output_schemas=app.separate_input_output_schemas,
    )
    schemas = page.setdefault("components", {}).setdefault("schemas", {})
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    page["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key."},
        "write_key": {
            "type": "http",
            "scheme": "basic",
            "description": "An API key as the user name, without a password.",
        },
    }
    routes = [route for route in app.routes if isinstance(route, APIRoute) and route.include_in_schema]
    _add_models(schemas, routes)
    for route in routes:
        for method in route.methods or ():
            _finish(page["paths"][route.path_format][method.lower()], route)
    return page


def _add_models(schemas: dict[str, Any], routes: Sequence[APIRoute]) -> None:
    """Add the components that FastAPI knows only by name: errors, and events, whose bodies are read raw."""
    models = [model for route in routes for model in getattr(route.endpoint, "extra_models", ())]
    wanted: list[Any] = [(model, "validation") for model in dict.fromkeys([ProblemDetails, *models])]
    _, definitions = models_json_schema(wanted, ref_template=_REF)
    for name, schema in definitions.get("$defs", {}).items():
        schemas.setdefault(name, schema)


def _finish(operation: dict[str, Any], route: APIRoute) -> None:
    """Add the scope, and the errors that the route does not describe itself."""
    scope = route_scope(route)
    responses = operation.setdefault("responses", {})
    problem = {"application/problem+json": {"schema": {"$ref": _REF.format(model=ProblemDetails.__name__)}}}
    own = {str(status) for status in route.responses}
    for status, description in _ERRORS.items():
        if status in own or (scope == OPEN and status in {"401", "403"}):
            continue
        responses[status] = {"description": description, "content": problem}
    if scope != OPEN:
        operation["security"] = [{"key": []}]
        operation.setdefault("description", "")
        operation["description"] = f"{operation['description']}\n\nScope: `{scope}`.".strip()
