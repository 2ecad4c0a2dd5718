"""A route without FastAPI's own way to its handler: what it may look like, and what it still does."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import APIRouter, Request, Response

from backbone.web.api_keys import open_route, require
from backbone.web.raw_route import RawRoute


async def _good(request: Request, principal: Any = require("events:write")) -> Response:
    return Response()


async def _no_scope(request: Request, principal: Any) -> Response:
    return Response()


async def _another_parameter(
    request: Request, limit: int, principal: Any = require("events:write")
) -> Response:
    return Response()


async def _no_caller(request: Request) -> Response:
    return Response()


def _router() -> APIRouter:
    return APIRouter(route_class=RawRoute)


def test_it_is_registered_as_any_route() -> None:
    router = _router()
    router.post("/v1/things")(_good)
    [route] = router.routes
    assert isinstance(route, RawRoute)
    assert route.endpoint is _good


@pytest.mark.parametrize("handler", [_no_scope, _another_parameter, _no_caller])
def test_a_handler_that_asks_for_more_is_refused_when_it_is_registered(handler: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="/v1/things"):
        _router().post("/v1/things")(handler)


def test_a_path_with_parameters_needs_an_open_route_and_a_handler_that_takes_them() -> None:
    with pytest.raises(TypeError):
        _router().post("/v1/things/{id}")(_good)
    with pytest.raises(TypeError):
        _router().post("/v1/things/{id}", dependencies=[open_route])(_no_caller)
