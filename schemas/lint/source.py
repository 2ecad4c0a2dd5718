"""Finds what is legal but probably wrong in a source."""

from collections.abc import Iterator

from schemas.lint.single import LintWarning
from schemas.source import NoScheme, SourceIn

CONTACT_UPDATED = "contact.updated"


def lint_source(source: SourceIn) -> list[LintWarning]:
    """The warnings about a source by itself."""
    return [*_open(source), *_unreached(source), *_nobody(source)]


def _open(source: SourceIn) -> Iterator[LintWarning]:
    if isinstance(source.verify, NoScheme):
        yield {
            "field": "verify",
            "message": f"anybody who can reach /v1/hooks/{source.name} may send events; a system that cannot sign "
            "may still send a token, or a user name and a password",
        }


def _unreached(source: SourceIn) -> Iterator[LintWarning]:
    """Entries behind one that takes the same elements, or all."""
    first: dict[str | None, int] = {}
    for place, entry in enumerate(source.events):
        if None in first:
            why = f"events.{first[None]} has no when, and takes every element"
        elif entry.when in first:
            why = f"events.{first[entry.when]} has the same when"
        else:
            first[entry.when] = place
            continue
        yield {"field": f"events.{place}.when", "message": f"is never reached: {why}"}


def _nobody(source: SourceIn) -> Iterator[LintWarning]:
    for place, entry in enumerate(source.events):
        if entry.type == CONTACT_UPDATED and entry.contact is None:
            yield {
                "field": f"events.{place}.contact",
                "message": f"is missing: {CONTACT_UPDATED} is about a person, so every such event is refused",
            }
