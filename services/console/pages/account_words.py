"""What stands in a line of an account's timeline. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from services.console.pages.timeline import Row
from services.console.render import segment, worded

MOST_VALUES = 3  # of an event's data that stand in its line
MOST_TEXT = 60  # characters of one; what is longer is looked into
# Touchline's own events in words; `{}` is the playbook
_OWN = {
    "touchline.play.started": "A play of {} began",
    "touchline.play.finished": "A play of {} finished",
    "touchline.play.exited": "A play of {} ended early",
    "touchline.email.sent": "A mail of {} was sent",
    "touchline.email.bounced": "A mail of {} came back",
    "touchline.email.complained": "A mail of {} was marked as spam",
    "touchline.email.unsubscribed": "Unsubscribed from the mails of {}",
    "touchline.task.created": "A task of {} was made",
    "touchline.task.completed": "A task of {} was completed",
    "touchline.webhook.delivered": "A webhook of {} was delivered",
    "touchline.webhook.failed": "A webhook of {} failed",
}
_SIGNS = {
    "triggers": "rules",
    "plays": "playbooks",
    "mails": "templates",
    "webhooks": "deliveries",
    "tasks": "tasks",
}
_NAMES = {
    "events": "event",
    "triggers": "trigger",
    "plays": "play",
    "mails": "mail",
    "webhooks": "webhook",
    "tasks": "task",
}


Shown = Mapping[tuple[str, ...], str]


class Cause(NamedTuple):
    """What led to a line: in words, and where it stands."""

    text: str
    target: str | None


class Line(NamedTuple):
    """`anchor`: its id on the page; `depth`: how far along the chain from event over trigger and play to mail or
    task; `says`: the API's sentence; `data`: to look into; `play`: an open one, which can be ended."""

    anchor: str
    kind: str
    sign: str | None
    at: str
    depth: int
    title: str
    target: str | None
    more: str
    status: str | None
    says: str | None
    cause: Cause | None
    data: Any
    is_late: bool
    play: str | None


def anchor_of(row: Row) -> str:
    """The id of a row on the page."""
    if row.kind != "events":
        return str(row.item["id"])
    position = row.item["position"]
    return f"event-{position['partition']}-{position['offset']}"


def anchors_of(rows: Iterable[Row]) -> dict[tuple[str, ...], str]:
    """Where the rows of a page stand: triggers and plays by their id, events by source and id."""
    found: dict[tuple[str, ...], str] = {}
    for row in rows:
        if row.kind in ("triggers", "plays"):
            found[row.item["id"],] = anchor_of(row)
        elif row.kind == "events":
            found[row.item["source"], row.item["id"]] = anchor_of(row)
    return found


def line_of(row: Row, shown: Shown) -> Line:
    """A row in words. `shown`: see `anchors_of`."""
    said = _SAID[row.kind](row.item, shown)
    blank: dict[str, Any] = {
        "depth": 0, "target": None, "more": "", "status": None, "says": None, "cause": None, "data": None, "play": None,
    }  # fmt: skip
    return Line(
        **{
            **blank,
            "anchor": anchor_of(row),
            "kind": _NAMES[row.kind],
            "sign": _SIGNS.get(row.kind),
            "at": row.at.isoformat(),
            "is_late": row.is_late,
            **said,
        }
    )


def _event(item: Mapping[str, Any], _shown: Shown) -> dict[str, Any]:
    data = item["data"] if isinstance(item["data"], dict) else {}
    own = _OWN.get(item["type"])
    if own is not None:
        play = data.get("play")
        playbook = str(data.get("playbook") or "Touchline")
        return {
            "title": own.format(playbook),
            "target": f"/plays/{segment(play)}" if play else None,
            "depth": 2,
        }
    values = [f"{name} {worded(value)}" for name, value in data.items() if _is_plain(value)][:MOST_VALUES]
    whole = isinstance(item["data"], dict) and len(values) == len(data)
    return {
        "title": item["type"],
        "more": ", ".join([*([f"by {item['contact']}"] if item["contact"] else []), *values]),
        "data": None if whole else item["data"] or None,
    }


def _is_plain(value: Any) -> bool:
    return value is not None and not isinstance(value, (dict, list)) and len(str(value)) <= MOST_TEXT


def _trigger(item: Mapping[str, Any], shown: Shown) -> dict[str, Any]:
    event = item["event"]
    return {
        "title": f"{item['rule']} fired" + (" in shadow" if item.get("shadow") else ""),
        "target": f"/triggers/{segment(item['id'])}",
        "more": f"for {item['key']}" if item["key"] is not None else "",
        "says": item["sentence"],
        "cause": None if event is None else Cause(f"at {event['type']}", _event_place(event, shown)),
        "depth": 1,
    }


def _play(item: Mapping[str, Any], shown: Shown) -> dict[str, Any]:
    return {
        "title": item["playbook"],
        "target": f"/plays/{segment(item['id'])}",
        "status": item["status"],
        "says": item["sentence"],
        "cause": Cause(f"from {item['rule']}", _place(item["trigger"], shown, "/triggers")),
        "depth": 2,
        "play": item["id"] if item["status"] == "open" else None,
    }


def _action(item: Mapping[str, Any], shown: Shown) -> dict[str, Any]:
    what = "Mail" if item["channel"] == "email" else "Webhook"
    return {
        "title": f"{what} to {item['recipient'] or 'nobody'}",
        "target": f"/deliveries/{segment(item['id'])}",
        "status": item["status"],
        "says": item["sentence"],
        "cause": Cause(f"in {item['playbook']}", _place(item["play"], shown, "/plays")),
        "depth": 3,
    }


def _task(item: Mapping[str, Any], shown: Shown) -> dict[str, Any]:
    done = " · ".join(text for text in (item["outcome"], item["note"]) if text)
    return {
        "title": item["title"],
        "target": f"/tasks/{segment(item['id'])}",
        "more": f"for {item['assignee']}" if item["assignee"] else "",
        "status": item["status"],
        "says": done or item["sentence"],
        "cause": Cause(f"in {item['playbook']}", _place(item["play"], shown, "/plays"))
        if item["play"]
        else None,
        "depth": 3 if item["play"] else 0,
    }


def _place(id_: str, shown: Shown, page: str) -> str:
    """Where a cause stands: on this page, or on one of its own."""
    return f"#{segment(shown[id_,])}" if (id_,) in shown else f"{page}/{segment(id_)}"


def _event_place(event: Mapping[str, Any], shown: Shown) -> str | None:
    anchor = shown.get((event["source"], event["id"]))
    return None if anchor is None else f"#{anchor}"


_SAID = {
    "events": _event,
    "triggers": _trigger,
    "plays": _play,
    "mails": _action,
    "webhooks": _action,
    "tasks": _task,
}
