"""The routes that all kinds of long jobs share: the list, one of them, and the end of one."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel

from backbone.jobs.queue import JobQueue
from backbone.web.api_keys import require
from backbone.web.app import Pages, json_response
from backbone.web.json_route import JsonRoute
from schemas.answers import page_of

JobId = Annotated[str, Path(min_length=1, max_length=64)]


def jobs_router(path: str, noun: str, answer: type[BaseModel], scope: str, queue: JobQueue) -> APIRouter:
    """`GET path`, `GET path/{id}` and `DELETE path/{id}`; the service adds the POST and what is its own."""
    router = APIRouter(tags=[path.rpartition("/")[2]], route_class=JsonRoute)

    @router.get(
        path, response_model=page_of(answer), summary=f"List the {noun}s of the last 7 days, newest first"
    )
    def listed(pages: Pages, _: Any = require(scope)) -> Response:
        return json_response(queue.page(pages))

    @router.get(
        path + "/{job}", response_model=answer, summary=f"Get the progress and the result of a {noun}"
    )
    def one(job: JobId, _: Any = require(scope)) -> Response:
        return json_response(queue.get(job).answer())

    @router.delete(
        path + "/{job}", status_code=204, summary=f"Cancel a {noun} if it waits or runs, and delete it"
    )
    def removed(job: JobId, _: Any = require(scope)) -> Response:
        queue.remove(job)
        return Response(status_code=204)

    return router
