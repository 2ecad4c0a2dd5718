"""What is legal in a template and probably wrong: its own layout, and variants that say less, or say it in English."""

from typing import Any

from schemas.lint.single import lint_template
from schemas.lint.variants import lint_variants
from schemas.template import TemplateIn

WHOLE = "<html><body>{{ account.name }}</body></html>"


def template(**fields: Any) -> TemplateIn:
    return TemplateIn.model_validate({"name": "t", "subject": "s", **fields})


def fields_of(found: Any) -> list[str]:
    return [one["field"] for one in found]


def test_a_whole_document_says_itself_how_to_unsubscribe_and_whose_mail_it_is() -> None:
    assert fields_of(lint_template(template(html=WHOLE))) == ["html", "html"]
    (one,) = lint_template(template(html=WHOLE + "{{ unsubscribe_url }}"))
    assert "brand.postal_address" in one["message"]
    (one,) = lint_template(template(html=WHOLE + "{{ brand['postal_address'] }}"))
    assert "unsubscribe_url" in one["message"]
    assert lint_template(template(html=WHOLE + "{{ unsubscribe_url }}{{ brand.postal_address }}")) == []


def test_nothing_is_said_of_what_gets_the_layout() -> None:
    assert lint_template(template(html="<p>{{ account.name }}</p>")) == []
    assert lint_template(template(markdown="about `<html>` itself")) == []


def test_a_whole_document_of_a_variant_too() -> None:
    found = lint_template(template(html="<p>x</p>", variants={"fr": {"subject": "s", "html": WHOLE}}))
    assert fields_of(found) == ["variants.fr.html"] * 2


def test_a_name_that_a_brand_has_not() -> None:
    (one,) = lint_template(template(markdown="{{ brand.address }} {{ brand.name }}"))
    assert one["message"].startswith("there is no brand.address; there is ")


def test_a_variant_that_lacks_what_the_template_says() -> None:
    french = {"subject": "{{ trigger.key }}", "markdown": "{{ account.attributes['plan'] }}"}
    says = "{{ trigger.key }} {{ account.attributes.get('plan') }} {{ trigger.event.data.amount }} {{ now }}"
    (one,) = lint_variants(template(markdown=says, variants={"fr": french}))
    assert one["field"] == "variants.fr.markdown"
    assert one["message"] == "does not use trigger.event.data.amount, as the template itself does"
    more = {**french, "text": "{% if trigger.event.data.amount %}x{% endif %}"}  # wherever it says so
    assert list(lint_variants(template(markdown=says, variants={"fr": more}))) == []


def test_a_variant_may_say_more_and_be_for_nobody() -> None:
    more = {"subject": "s", "html": "{{ trigger.value }} {{ contact.name }}"}
    assert list(lint_variants(template(markdown="{{ trigger.value }}", variants={"tlh": more}))) == []


def test_words_that_stay_english() -> None:
    says = "{{ contact.name | first_name }} {{ trigger.at | relative }} {{ trigger.at | date }}"
    (one,) = lint_variants(template(markdown=says, variants={"fr": {"subject": "s", "markdown": says}}))
    assert one["message"].startswith("relative, first_name")
    own = says.replace("first_name", "first_name('vous')").replace("| relative", "| date")
    assert (
        list(lint_variants(template(markdown=says, variants={"fr": {"subject": "s", "markdown": own}}))) == []
    )
    assert (
        list(lint_variants(template(markdown=says, variants={"en-GB": {"subject": "s", "markdown": says}})))
        == []
    )
