"""Finds the errors in templates when they are saved or rehearsed."""

from collections.abc import Mapping

from backbone.errors import FieldError
from schemas.lint.template_names import free_names
from services.actions.plays.model import DraftRendering


def flaws(sources: Mapping[str, str], renderer: DraftRendering) -> list[FieldError]:
    """The errors in templates, by the path at which they stand."""
    if not sources:
        return []
    return [FieldError(field=field, message=message) for field, message in renderer.check(dict(sources))]


def flaws_of_texts(sources: Mapping[str, str], renderer: DraftRendering) -> list[FieldError]:
    """The same for mail templates and what stands in steps, where only a webhook's has `action`: any other that takes
    it would fail whenever it is rendered."""
    message = "action is there only in a webhook"
    astray = [
        FieldError(field=field, message=message)
        for field, text in sources.items()
        if ".webhook." not in field and "action" in free_names(text)
    ]
    return [*flaws(sources, renderer), *astray]
