"""Asks for a long job and waits until it has ended."""

import time
from contextlib import suppress
from typing import Any

from rich.progress import Progress, TaskID

from backbone.errors import TouchlineError
from services.cli.client import ApiError, Client

LOOK_S = 0.3
JSON = dict[str, Any]


class Refused(TouchlineError):
    """An option that cannot be read, or a job that failed."""


def ended(client: Client, bar: Progress, path: str, body: JSON, name: str, noun: str) -> JSON:
    """The job once it has ended. It is cancelled where we are interrupted. Raises `Refused` where it failed."""
    task = bar.add_task(name, total=1.0)
    answer = _asked(client, bar, task, path, body, name)
    place = f"{path}/{answer['id']}"
    try:
        while answer["status"] in ("queued", "running"):
            bar.update(task, completed=answer["progress"], description=f"{name}: {answer['status']}")
            time.sleep(LOOK_S)
            answer = client.call("GET", place)
    except KeyboardInterrupt:
        with suppress(TouchlineError):
            client.call("DELETE", place)
        raise
    if answer["status"] != "done":
        raise Refused(f"the {noun} of {name} {answer['status']}: {answer['error'] or 'nobody says why'}")
    bar.update(task, completed=1.0, description=name)
    return answer


def _asked(client: Client, bar: Progress, task: TaskID, path: str, body: JSON, name: str) -> JSON:
    """The job, asked for again for as long as too many wait or run."""
    while True:
        try:
            answer: JSON = client.call("POST", path, body)
            return answer
        except ApiError as error:
            if error.status != 429:
                raise
            bar.update(task, description=f"{name}: others come first")
            time.sleep(float(error.problem.get("retry_after") or 1))
