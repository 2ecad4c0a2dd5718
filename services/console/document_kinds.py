"""The documents that are written as YAML: where the API has them, who may, and what a new one starts from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from backbone.yaml.reading import YamlError, parse_yaml
from backbone.yaml.writing import yaml_text
from services.console.api import ApiError, FieldProblem

READ_ONLY = frozenset({
    "version", "changed_at", "changed_by", "in_force", "deleted", "warnings", "sentence", "unhealthy", "paused",
    "failing_since", "secret",
})  # fmt: skip


class Kind(NamedTuple):
    """`title`: of its page; `api`: its path; `single`: there is one of it, else one a name; `check`: whether the API
    has a check that saves nothing; `status`: whether its `status` is written, not only read; `example`: a new one."""

    noun: str
    title: str
    lead: str
    api: str
    single: bool
    check: bool
    read: str
    write: str
    home: str
    example: Mapping[str, Any]
    status: bool = False


KINDS = {
    kind.noun: kind
    for kind in (
        Kind(
            "tiers", "Tiers", "Who is served how: the first entry that fits an account decides.", "/v1/tiers", True,
            False, "rules:read", "rules:write", "/settings/tiers",
            {"tiers": [{"tier": "high", "where": {"account.attributes.arr": {"gte": 50_000}}}, {"tier": "tech"}]},
        ),
        Kind(
            "policy", "Sending policy", "When customers may get mail, and how much.", "/v1/policy", True, True,
            "actions:read", "actions:write", "/settings/policy",
            {
                "timezone": "Europe/Paris",
                "hours": {"from": "08:00", "to": "18:00", "days": ["mon", "tue", "wed", "thu", "fri"]},
                "caps": [{"at_most": 2, "within": "7d"}],
            },
        ),
        Kind(
            "brand", "Brand", "Whose mail it is: what stands above and below every mail.", "/v1/brand", True, True,
            "actions:read", "actions:write", "/settings/brand",
            {"name": "Your company", "postal_address": "1 Main Street, Springfield"},
        ),
        Kind(
            "task-mails", "Mails to assignees", "Which mails your team gets about its tasks.", "/v1/task-mails", True,
            True, "actions:read", "actions:write", "/settings/task-mails",
            {"made": True, "morning": {"at": "08:00"}, "timezone": "Europe/Paris"},
        ),
        Kind(
            "aliases", "Event aliases", "Other systems' names for events, and the names that rules use.", "/v1/aliases",
            True, False, "rules:read", "rules:write", "/settings/aliases",
            {"aliases": {"Ticket Created": "ticket.opened"}},
        ),
        Kind(
            "topic", "Topics", "What people can unsubscribe from, as they call it.", "/v1/topics", False, False,
            "actions:read", "actions:write", "/settings/topics",
            {"name": "billing", "title": "Invoices and payments", "description": "About what you owe us."},
        ),
        Kind(
            "endpoint", "Endpoints", "Where webhooks go.", "/v1/endpoints", False, True, "actions:read",
            "actions:write", "/settings/endpoints",
            {"name": "crm", "url": "https://crm.example.com/hooks/touchline"},
        ),
        Kind(
            "source", "Sources", "Other systems' webhooks, and the events they become.", "/v1/sources", False, True,
            "rules:read", "rules:write", "/settings/sources",
            {
                "name": "helpdesk",
                "verify": {"scheme": "token", "header": "X-Token", "secret": "a-long-secret"},
                "events": [{"type": "ticket.opened", "account": {"id": "customer.id"}, "data": "ticket"}],
            },
        ),
        Kind(
            "playbook", "Playbooks", "What happens to a customer when a rule fires.", "/v1/playbooks", False, True,
            "actions:read", "actions:write", "/playbooks",
            {
                "name": "check-in",
                "steps": {
                    "high": [{"task": {"title": "Call {{ account.name }}", "assignee": "owner", "due": "1d"}}],
                    "low": [{"email": {"template": "hello"}}, {"wait": "7d"}, {"email": {"template": "hello"}}],
                },
            },
        ),
    )
}  # fmt: skip


def as_yaml(kind: Kind, document: Mapping[str, Any]) -> str:
    """What a person writes: without what the API only tells."""
    hidden = READ_ONLY if kind.status else READ_ONLY | {"status"}
    kept = {name: value for name, value in document.items() if name not in hidden and value is not None}
    return yaml_text(kept)


def from_yaml(text: str) -> dict[str, Any]:
    """The document of a text. Raises `ApiError` (422), as the API would, if it is none."""
    try:
        found = parse_yaml(text, Path("document"))
    except YamlError as error:
        raise _unreadable(f"line {error.line}: {error.message}") from None
    if len(found) != 1 or not isinstance(found[0].value, dict):
        raise _unreadable("should be one document: fields with their values")
    value: dict[str, Any] = found[0].value
    return {name: each for name, each in value.items() if name != "kind"}


def _unreadable(why: str) -> ApiError:
    return ApiError(422, "not_yaml", "This is not YAML", why, [FieldProblem("", why)])
