"""The texts of the workload's mails, webhooks and tasks: in the pure answer, in the tables and at the sinks.

The workload's templates contain only paths, which are filled in here without the product's render processes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from services.actions.channels.email.spec import EmailSpec
from services.actions.channels.webhook.spec import WebhookSpec
from services.actions.plays.model import Rendered, RenderFailure, RenderJob, TaskSpec

JSON = dict[str, Any]
PATH = re.compile(r"\{\{ ([a-z_.]+) \}\}")
POSITION = re.compile(rb'"position":\{"partition":(\d+),"offset":(\d+)\}')
PLACE = re.compile(r" at \d+/\d+$")


class Filler:
    """Renders templates that contain only paths."""

    def render_many(self, jobs: Sequence[RenderJob]) -> list[Rendered | RenderFailure]:
        """Each draft's content, as far as `said` looks at it."""
        return [Rendered(content=self._content(job)) for job in jobs]

    @staticmethod
    def check(sources: dict[str, str]) -> list[tuple[str, str]]:
        """The faults found in the templates: none."""
        return []

    @staticmethod
    def _content(job: RenderJob) -> JSON:
        spec, scope = job.draft.spec, job.draft.context
        match spec:
            case EmailSpec(document=document):
                made = {name: filled((document or {})[name], scope) for name in ("subject", "markdown")}
                return {**made, "text": made["markdown"], "to": {"email": job.draft.recipient}}
            case TaskSpec():
                return {"title": filled(spec.title, scope), "key": spec.key and filled(spec.key, scope)}
            case WebhookSpec():
                return {"body": {name: filled(value, scope) for name, value in spec.body.items()}}


def filled(text: str, scope: JSON) -> str:
    """A template with its paths filled in."""

    def value(match: re.Match[str]) -> str:
        found: Any = scope
        for name in match[1].split("."):
            found = found[name]
        return str(found)

    return PATH.sub(value, text)


def said(channel: str, content: JSON | None) -> str:
    """An action's text, in a line; empty if it has none."""
    if not content:
        return ""
    if channel == "email":
        return mail_said(content["to"]["email"], content["subject"], content["text"])
    if channel == "webhook":
        return hook_said(msgspec.json.encode(content["body"]))
    return f"{content['title']} [{content['key']}]"


def mail_said(to: str, subject: str, text: str) -> str:
    """A mail in a line: its recipient, its subject and its first paragraph."""
    first = re.split(r"\r?\n\r?\n", text.strip(), maxsplit=1)[0]
    return f"{to}: {subject}: {' '.join(first.split())}"


def hook_said(body: bytes) -> str:
    """A short text that stands for a body, and the place on the log where the trigger in it was decided, if any."""
    digest = blake2b(POSITION.sub(b"", body), digest_size=8).hexdigest()
    place = POSITION.search(body)
    return f"{digest} at {int(place[1])}/{int(place[2])}" if place else digest


def wherever(line: str) -> str:
    """The line without places on the log. These differ between logs, by where our own events come to be."""
    return PLACE.sub("", line)
