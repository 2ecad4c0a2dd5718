"""`touchline sending`: stops every mail and webhook, lets them go on, or says how it stands."""

from typing import Any

import typer

from backbone.terminal_text import one_line
from services.cli.client import Client


def sending(status: str | None, reason: str | None) -> None:
    """Turn the switch if a status is given; print how it stands."""
    client = Client()
    if status is None:
        found = client.call("GET", "/v1/sending")
    else:
        body = {"status": status} | ({"reason": reason} if reason else {})
        found = client.call("PUT", "/v1/sending", body)
    typer.echo(_line(found))


def _line(found: dict[str, Any]) -> str:
    if found["at"] is None:
        return "sending is on"
    why = f": {one_line(found['reason'])}" if found["reason"] else ""
    return f"sending is {found['status']} since {found['at']}, by {one_line(found['by'])}{why}"
