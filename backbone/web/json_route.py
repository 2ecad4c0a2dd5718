"""Declared bodies: a handler's pydantic model, decoded by our JSON reader, with errors in our form.

router = APIRouter(route_class=JsonRoute)
@router.post("/v1/things")           def create(body: Annotated[ThingIn, example(THING)]) -> …
@router.put("/v1/things/{name}")    def put(body: Annotated[ThingIn, AS_SHOWN, …], name: str = named_in_address()) -> …
"""

from collections.abc import Callable, Coroutine, Iterable
from typing import Annotated, Any

from fastapi import Body, Depends, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema
from starlette.routing import BaseRoute

from backbone.errors import Invalid
from backbone.web.bodies import LargeBody, check_json_type, parse_json
from backbone.web.query_params import check, takes_any
from backbone.web.validation import field_errors, parameter_errors, writable

Name = Annotated[str, Path(min_length=1, max_length=256)]
_NOTHING = "should be an object"
_SHOWN_ONLY = {
    "readOnly": True,
    "description": ("Read-only. You may send back the value that GET gave; it is ignored."),
}


class _JsonRequest(Request):
    """A request whose body is read as JSON, whichever of our content types it has."""

    def __init__(self, request: Request, body: bytes, data: Any) -> None:
        headers = [one for one in request.scope["headers"] if one[0] != b"content-type"]
        scope = {**request.scope, "headers": [*headers, (b"content-type", b"application/json")]}
        super().__init__(scope, request.receive)
        self._body, self._json = body, data


class JsonRoute(APIRoute):
    """A route with a declared body.

    Errors are reported in this order, each only if everything before it is right: names in the query, the content
    type, the JSON, parameters, fields of the body.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler behind our reader; a route without a body keeps FastAPI's own."""
        inner = super().get_route_handler()
        if self.body_field is None:
            return inner
        model = self.body_field.field_info.annotation
        large: LargeBody | None = getattr(self.endpoint, "large_body", None)

        async def handle(request: Request) -> Response:
            if request.scope["query_string"] and not takes_any(self):
                check(self, request.query_params)
            check_json_type(request.headers.get("content-type", ""))
            body = await request.body()
            if large is not None and body:
                data = await run_in_threadpool(large.read, body)
            else:
                data = parse_json(body) if body else None
            read = _JsonRequest(request, body, data)
            try:
                return await inner(read)
            except RequestValidationError as error:
                # in a thread: 20,000 wrong fields take a while
                raise await run_in_threadpool(refused, error, model) from None

        return handle


def refused(error: RequestValidationError, model: Any = None) -> Invalid:
    """FastAPI's error in our form: the wrong parameters, or otherwise the wrong fields of the body (of `model`)."""
    in_body = [{**item, "loc": item["loc"][1:]} for item in error.errors() if item["loc"][:1] == ("body",)]
    elsewhere = [item for item in error.errors() if item["loc"][:1] != ("body",)]
    if elsewhere:
        return Invalid(parameter_errors(elsewhere))
    if any(item["type"] == "missing" and not item["loc"] for item in in_body):
        return Invalid([{"field": "", "message": _NOTHING}])
    return Invalid(field_errors(in_body, error.body, model))


def check_bodies(routes: Iterable[BaseRoute]) -> None:
    """Raise `TypeError` for a declared body that FastAPI would read, since it accepts NaN and any depth."""
    for route in routes:
        if isinstance(route, APIRoute) and route.body_field is not None and not isinstance(route, JsonRoute):
            raise TypeError(f"{route.path} declares a body: give its router route_class=JsonRoute")


def created(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a PUT, which answers 201 if the name was new."""
    return {201: {"model": model, "description": "There was no object with this name, so it was created."}}


def example(value: Any) -> Any:
    """Metadata of a declared body: the example that the OpenAPI page shows."""
    return Body(openapi_examples={"example": {"value": value}})


class _AsShown:
    """See `AS_SHOWN`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def only_written(body: Any) -> Any:
            return writable(source, body)

        return core_schema.no_info_before_validator_function(only_written, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Any:
        shown = handler(schema)
        model: Any = schema
        while "cls" not in model:
            model = model["schema"]
        properties = handler.resolve_ref_schema(shown)["properties"]
        for name in sorted(getattr(model["cls"], "read_only", ())):
            properties.setdefault(name, _SHOWN_ONLY)
        return shown


# Metadata of a declared body: it may be sent back as GET gave it, and fields that only GET has are left out.
AS_SHOWN = _AsShown()


def named_in_address(message: str = "should be {name!r} as in the address, or left out") -> Any:
    """A handler's parameter `name`: the name in the address, which the body may leave out.

    If the body has another name, it is refused with this message (formatted with `name` and `given`).
    """

    async def name_of(request: Request, name: Name) -> str:
        body = await request.json()
        if isinstance(body, dict) and (given := body.setdefault("name", name)) != name:
            raise Invalid([{"field": "name", "message": message.format(name=name, given=given)}])
        return name

    return Depends(name_of)
