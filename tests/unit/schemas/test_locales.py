"""Tags of locales, and which variant a reader gets: compared with a slow and obvious way of looking."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbone.errors import Invalid
from backbone.web.validation import validate
from schemas.locales import BadLocale, best, lookup, valid_tag
from schemas.template import TemplateIn, variant_of

PARTS = st.sampled_from(["fr", "FR", "de", "CA", "Hant", "419", "x", "u", "co", "phonebk"])


@pytest.mark.parametrize(
    "tag",
    [
        "fr",
        "fr-CA",
        "FR-ca",
        "es-419",
        "zh-Hant-TW",
        "zh-cmn",
        "sl-rozaj-biske",
        "de-DE-1996",
        "yue",
        "de-u-co-phonebk",
    ],
)
def test_what_is_a_tag(tag: str) -> None:
    assert valid_tag(tag) == tag


@pytest.mark.parametrize(
    "text",
    [
        "",
        "f",
        "french",
        "fr_CA",
        "fr-",
        "-fr",
        "fr--CA",
        "fr CA",
        "fr-CA-x",
        "en.UTF-8",
        "12",
        "fr-C",
        "é",
        "a" * 36,
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(BadLocale):
        valid_tag(text)


def test_what_other_systems_write_is_proposed_as_a_tag() -> None:
    with pytest.raises(BadLocale, match=r"did you mean fr-CA\?"):
        valid_tag("fr_CA.UTF-8")


@pytest.mark.parametrize(
    ("locale", "tag"),
    [
        ("fr-CA", "fr-CA"),
        ("fr_ca", "fr-CA"),
        ("fr-CH", "fr"),
        ("fr_CH.UTF-8", "fr"),
        ("FR", "fr"),
        ("zh-Hant-TW", "zh-Hant"),
        ("zh", ""),  # a longer tag is for fewer people, and so no answer
        ("de", ""),
        ("frr", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_the_variant_that_a_reader_gets(locale: str | None, tag: str) -> None:
    texts = {"subject": "s", "markdown": "m"}
    document = {**texts, "variants": dict.fromkeys(("fr", "fr-CA", "zh-Hant"), texts)}
    assert variant_of(document, locale)[0] == tag


@given(
    st.lists(PARTS, min_size=1, max_size=5),
    st.sets(st.lists(PARTS, min_size=1, max_size=3).map(tuple), max_size=4),
)
def test_the_longest_that_the_reader_begins_with(wanted: list[str], offered: set[tuple[str, ...]]) -> None:
    choices = {"-".join(one): one for one in offered}
    found = best(choices, "-".join(wanted))
    small = [part.lower() for part in wanted]
    fits = [one for one in offered if [part.lower() for part in one] == small[: len(one)]]
    ends_in_letter = [one for one in fits if len(one[-1]) == 1 and len(one) < len(wanted)]
    longest = max((len(one) for one in fits if one not in ends_in_letter), default=0)
    assert (0 if found is None else len(found[1])) == longest


def test_an_extension_goes_as_a_whole() -> None:
    assert list(lookup("de-DE-u-co-phonebk")) == ["de-DE-u-co-phonebk", "de-DE-u-co", "de-DE", "de"]


@pytest.mark.parametrize(
    ("variants", "field"),
    [
        ({"fr_CA": {"subject": "s", "markdown": "m"}}, "variants.fr_CA"),
        ({"fr": {"subject": "s"}}, "variants.fr.markdown"),
        ({"fr": {"subject": "s", "markdown": "m", "html": "h"}}, "variants.fr.markdown"),
        ({"fr": {"markdown": "m"}}, "variants.fr.subject"),
        ({"fr": {"subject": "a\nb", "markdown": "m"}}, "variants.fr.subject"),
        ({"fr": {"subject": "s", "markdown": "m", "topic": "x"}}, "variants.fr.topic"),
        ({key: {"subject": "s", "markdown": "m"} for key in ("fr", "FR")}, "variants.FR"),
    ],
)
def test_a_refusal_names_the_variant(variants: object, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        validate(TemplateIn, {"name": "t", "subject": "s", "markdown": "m", "variants": variants})
    assert [error["field"] for error in caught.value.errors] == [field]
