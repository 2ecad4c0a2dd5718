"""Sends events to the door, and finds the line and the column of everything that the answer says about them."""

from collections.abc import Callable, Sequence
from typing import Any

from services.cli.client import ApiError, Client
from services.cli.imports.report import Report
from services.cli.imports.sender import Item

PATH = "/v1/events"
Naming = Callable[[Item, str], str]  # the column, or the field, that a field of an event stands in


def deliver(client: Client, report: Report, items: Sequence[Item], named: Naming) -> None:
    """Send the items as one request. What the door refuses is told. Raises `ApiError` where it took no look at them."""
    body = b"[" + b",".join(one.body for one in items) + b"]"
    try:
        answer: dict[str, Any] = client.send(PATH, body, "application/json")
    except ApiError as error:
        if "rejected" not in error.problem:
            raise
        answer = error.problem
    report.took(answer.get("accepted") or 0)
    for one in answer["rejected"]:
        item, why = items[one["index"]], one["error"]
        report.wrong(item.line, (named(item, why["field"]), why["message"]))
    for one in answer.get("warnings", ()):
        item = items[one["index"]]
        report.warn(item.line, named(item, one["field"]), one["message"])
