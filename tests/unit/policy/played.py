"""Plays as `touchline test` runs them: documents and events in, and what became of each mail out."""

from pathlib import Path
from typing import Any, NamedTuple

from backbone.yaml.reading import Located
from schemas.json_schemas import KINDS
from schemas.scenario import Scenario
from services.cli.documents import Document
from services.cli.scenario_world import World, arrivals
from tests.oracle.policy import Course, Mail
from tests.oracle.times import format_time, span

JSON = dict[str, Any]
NOWHERE = Located(None, Path("nowhere.yaml"))


class Played(NamedTuple):
    """The mails as they ran, in their order, and what became of each by its action's id."""

    mails: list[Mail]
    course: dict[str, Course]


def played(policy: JSON, plays: list[JSON], until: int) -> Played:
    """Run plays (see `policy_strategies.plays`) under a policy up to a moment."""
    world = World([_document("policy", policy), *_documents(plays)], None)
    for event in arrivals(_scenario(plays, until)):
        world.feed(event)
    mails, course = [], {}
    for place, action in enumerate(world.store.actions.values()):
        number = int(action.playbook.removeprefix("book-"))
        play, step = plays[number], int(action.step.removeprefix("mail-"))
        mail = play["mails"][step]
        mails.append(
            Mail(
                id=action.id,
                address=play["address"],
                account=play["account"],
                tier=play["tier"],
                topic=play["topic"],
                runs_at=action.due_at,
                place=place,
                priority=play["priority"],
                zone=play["zone"],
                within=None if mail["within"] is None else span(mail["within"]),
                play=action.play,
                gap=span(mail["wait"]),
            )
        )
        over = action.status == "skipped"
        course[action.id] = Course(action.begun_at, action.done_at if over else None, action.reason)
    return Played(mails, course)


def _documents(plays: list[JSON]) -> list[Document]:
    found = [_document("template", {"name": "hello", "subject": "Hello", "markdown": "Hello"})]
    for number, play in enumerate(plays):
        steps: list[JSON] = []
        for place, mail in enumerate(play["mails"]):
            steps += [] if mail["wait"] == "0s" else [{"id": f"wait-{place}", "wait": mail["wait"]}]
            within = {} if mail["within"] is None else {"within": mail["within"]}
            steps.append({"id": f"mail-{place}", "email": {"template": "hello", **within}})
        name, book = f"rule-{number}", f"book-{number}"
        when = {"threshold": {"event": f"go.{number}", "at_least": 1}}
        body = {"name": book, "topic": play["topic"], "priority": play["priority"], "steps": steps}
        found.append(_document("playbook", body))
        found.append(_document("rule", {"name": name, "when": when, "cooldown": "0s", "playbook": book}))
    return found


def _document(kind: str, body: JSON) -> Document:
    return Document(kind, str(body.get("name", kind)), body, KINDS[kind].model_validate(body), NOWHERE)


def _scenario(plays: list[JSON], until: int) -> Scenario:
    accounts: dict[str, JSON] = {}
    for number, play in enumerate(plays):
        account = accounts.setdefault(play["account"], {"tier": play["tier"], "contacts": []})
        contact = {"id": f"person-{number}", "email": play["address"]}
        account["contacts"].append(contact | ({} if play["zone"] is None else {"timezone": play["zone"]}))
    events = [
        {
            "at": format_time(play["at"]),
            "account": play["account"],
            "contact": f"person-{number}",
            "type": f"go.{number}",
        }
        for number, play in enumerate(plays)
    ]
    body = {
        "load": ["nothing"],
        "accounts": accounts,
        "events": events,
        "until": format_time(until),
        "expect": {},
    }
    return Scenario.model_validate(body)
