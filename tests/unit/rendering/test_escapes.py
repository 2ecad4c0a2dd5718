"""Names of Python's insides, asked of everything that a template can get hold of, in every way of asking."""

from itertools import product
from typing import Any

import pytest

from services.actions.rendering import MailJob, RenderError, RenderPool, TextJob
from tests.unit.rendering.loot import LOOT

THINGS = {
    "text": "''",
    "number": "(1)",
    "list": "[1]",
    "mapping": "{'a': 1}",
    "account": "account",
    "roles": "contact.roles",
    "event": "trigger.event.data",
    "range": "range(3)",
    "the class of mappings": "dict",
    "namespace": "namespace(a=1)",
    "method": "''.upper",
    "macro": "m",
    "itself": "self",
    "unknown": "nothing",
}
INSIDES = (
    "__class__",
    "__init__",
    "__globals__",
    "__subclasses__",
    "__dict__",
    "__reduce_ex__",
    "_func",
    "gi_frame",
)
WAYS = {
    "dot": "{{ THING.NAME }}",
    "brackets": "{{ THING['NAME'] }}",
    "attr": "{{ THING|attr('NAME') }}",
    "built": "{% set n = 'LEFT' ~ 'RIGHT' %}{{ THING[n] }}",
    "map": "{{ [THING]|map(attribute='NAME')|list }}",
    "format": "{{ '{0.NAME}'.format(THING) }}",
}
MACRO = "{% macro m() %}x{% endmacro %}"


def escapes(way: str) -> list[str]:
    return [
        MACRO
        + WAYS[way]
        .replace("THING", thing)
        .replace("NAME", name)
        .replace("LEFT", name[:5])
        .replace("RIGHT", name[5:])
        for thing, name in product(THINGS.values(), INSIDES)
    ]


def test_there_are_six_hundred_of_them() -> None:
    assert len({source for way in WAYS for source in escapes(way)}) >= 600


@pytest.mark.parametrize("way", WAYS)
def test_no_template_gets_at_the_insides(
    way: str, renderer: RenderPool, context: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOUCHLINE_SECRET_KEY", "canary-of-the-environment")
    for source in escapes(way):
        jobs = [
            TextJob(body=source, context=context),
            MailJob(subject="s", markdown=source, context=context),
            MailJob(subject="s", html=source, context=context),
        ]
        for result in renderer.render_many(jobs):
            if isinstance(result, RenderError):
                assert result.reason == "template_error", source
            shown = str(result).replace("[Undefined]", "")  # how a list of unsafe things looks
            assert not any(sign in shown for sign in LOOT), (source, shown)
