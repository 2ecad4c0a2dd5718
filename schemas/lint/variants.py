"""Finds what is probably wrong with the variants of a template: what one does not say, and what it says in English."""

from collections.abc import Iterator

from schemas.lint.single import LintWarning
from schemas.lint.template_names import filters_in, looked_up
from schemas.template import TemplateIn, Variant

ENGLISH = frozenset({"counted", "times", "duration", "relative"})  # filters whose words are English
_DEFAULT_SAYS = frozenset({"trigger", "account", "contact", "owner"})


def lint_variants(template: TemplateIn) -> Iterator[LintWarning]:
    """The warnings about a template's variants. A locale that nobody has is none."""
    said = _names(template.texts())
    for tag, variant in template.variants.items():
        field = f"variants.{tag}.{'html' if variant.markdown is None else 'markdown'}"
        if lacking := sorted(said - _names(variant.texts())):
            message = f"does not use {', '.join(lacking)}, as the template itself does"
            yield {"field": field, "message": message}
        if tag.partition("-")[0].lower() != "en":
            yield from _english(tag, variant)


def _english(tag: str, variant: Variant) -> Iterator[LintWarning]:
    for field, source in variant.texts().items():
        used = filters_in(source)
        words = sorted(ENGLISH & used.keys())
        if "first_name" in used and not used["first_name"]:
            words.append("first_name (without a word of your own for no name)")
        if words:
            said = f"{', '.join(words)} {'gives' if len(words) == 1 else 'give'} English words"
            yield {"field": f"variants.{tag}.{field}", "message": said}


def _names(sources: dict[str, str]) -> set[str]:
    """What a mail says of the account, its people and the trigger, whichever part says it."""
    found = {names for source in sources.values() for names in looked_up(source)}
    return {".".join(names) for names in found if names[0] in _DEFAULT_SAYS}
