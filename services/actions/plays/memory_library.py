"""The library in memory, on which `touchline test` and the unit tests run plays. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from schemas.blanks import EndpointTemplates
from schemas.brand import in_scope
from schemas.playbook import PlaybookIn
from schemas.profile import Profile
from schemas.template import TemplateIn
from services.actions.plays.program import Playbook, compile_playbook


class MemoryLibrary:
    """Playbooks, templates, endpoints (by name), brand and policy's timezone, given once as version 1."""

    def __init__(
        self,
        playbooks: Iterable[PlaybookIn],
        templates: Iterable[TemplateIn] = (),
        endpoints: Mapping[str, EndpointTemplates] | None = None,
        brand: Mapping[str, Any] | None = None,
        timezone: str | None = None,
    ) -> None:
        self._playbooks = {doc.name: compile_playbook(1, doc) for doc in playbooks}
        self._templates = {doc.name: doc.model_dump(mode="json") for doc in templates}
        self._endpoints = endpoints or {}
        self._brand = in_scope(brand)
        self._timezone = timezone
        matchers = [one for book in self._playbooks.values() for one in book.matchers()]
        self._types = frozenset(type_ for one in matchers for type_ in one.types)
        self._every = any(one.every for one in matchers)

    def playbook(self, name: str) -> Playbook | None:
        return self._playbooks.get(name)

    def version(self, name: str, version: int) -> Playbook:  # noqa: ARG002
        return self._playbooks[name]

    def template_versions(self, names: frozenset[str]) -> dict[str, int]:
        return {name: 1 for name in sorted(names) if name in self._templates}

    def template(self, name: str, version: int) -> dict[str, Any]:  # noqa: ARG002
        return self._templates[name]

    def endpoint(self, name: str) -> EndpointTemplates:
        return self._endpoints.get(name, EndpointTemplates())

    def brand(self) -> dict[str, str | None]:
        return self._brand

    def timezone(self) -> str | None:
        return self._timezone

    def tier(self, profile: Profile) -> str | None:
        return profile.tier

    def watches(self, type_: str) -> bool:
        return self._every or type_ in self._types
