"""Forty templates that want out, or want everything: each is stopped, and none gets anything."""

import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.actions.rendering import Body, MailJob, RenderError, RenderPool, TextJob, wire_format
from services.actions.rendering.jobs import CheckJob
from tests.unit.rendering.loot import LOOT

CLASSES = "''.__class__.__mro__[1].__subclasses__()"
ESCAPES = {
    "class": "{{ " + CLASSES + " }}",
    "attr filter": "{{ ''|attr('__class__') }}",
    "attr filter, built": "{{ ''|attr('_' ~ '_class_' ~ '_') }}",
    "item": "{{ ''['__class__'] }}",
    "item, hex": "{{ ''['\\x5f\\x5fclass\\x5f\\x5f'] }}",
    "map attribute": "{{ ['']|map(attribute='__class__')|list }}",
    "selectattr": "{{ ['']|selectattr('__class__')|list }}",
    "groupby": "{{ ['']|groupby('__class__')|list }}",
    "sort attribute": "{{ ['a','b']|sort(attribute='__class__.__mro__') }}",
    "sum attribute": "{{ ['']|sum(attribute='__class__') }}",
    "format": "{{ '{0.__class__.__mro__}'.format('') }}",
    "format_map": "{{ '{a.__class__.__mro__}'.format_map({'a': ''}) }}",
    "format, bound": "{% set f = '{0.__class__}'.format %}{{ f('') }}",
    "format, through map": "{{ ['{0.__class__.__init__.__globals__}']|map('format', '')|list }}",
    "globals of range": "{{ range.__init__.__globals__ }}",
    "globals of a macro": "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}",
    "the context": "{{ self._TemplateReference__context.environment }}",
    "self": "{{ self.__init__.__globals__ }}",
    "loop": "{% for i in [1] %}{{ loop.__class__.__init__.__globals__ }}{% endfor %}",
    "namespace": "{% set n = namespace() %}{{ n.__class__.__init__.__globals__ }}",
    "cycler": "{{ cycler.__init__.__globals__.os.environ }}",
    "lipsum": "{{ lipsum.__globals__.os.popen('id').read() }}",
    "joiner": "{{ joiner.__init__.__globals__ }}",
    "undefined": "{{ nothing.__init__.__globals__ }}",
    "config": "{{ config.items() }}",
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import 'os' as os %}{{ os.environ }}",
    "extends": "{% extends '/etc/passwd' %}",
    "changing what is known": "{{ account.update({'name': 'x'}) }}",
    "changing a list": "{{ contact.roles.append('owner') }}",
    "set as attribute": "{% set account.name = 'x' %}",
}
GLUTTONS = {
    "wide format": "{{ '%0999999999d'|format(1) }}",
    "wide format, operator": "{{ '%0999999999d' % 1 }}",
    "wide format, method": "{{ '{:>999999999}'.format(1) }}",
    "repeat": "{{ 'a' * 10 ** 10 }}",
    "power": "{{ 7 ** 7 ** 9 }}",
    "power, unseen": "{% if 3 ** (10 ** 8) > 1 %}a{% endif %}",
    "loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "loops that print": "{% for i in range(99999) %}{% for j in range(99999) %}xxxxxxxx{% endfor %}{% endfor %}",
    "long range": "{{ range(10 ** 9)|list }}",
    "recursion": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "doubling": "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "doubling a list": "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "center": "{{ 'x'|center(999999999) }}",
    "indent": "{{ ('\\n' * 9999)|indent(9999999) }}",
    "replace": "{{ ('a' * 99999)|replace('a', 'b' * 99999) }}",
    "batch": "{{ [1]|batch(999999999, 0)|list }}",
    "slice": "{{ range(9)|slice(999999999)|list }}",
    "sorting": "{% for i in range(99999) %}{{ range(99999)|list|sort(reverse=true)|length }}{% endfor %}",
    "wordwrap": "{{ ('ab ' * 3000000)|wordwrap(2)|length }}",
    "large number": "{{ ('9' * 9999999)|int }}",
    "nested brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "nested loops": "{% for i in [1] %}" * 200 + "x" + "{% endfor %}" * 200,
    "markdown quotes": ">" * 60000,
    "markdown brackets": "[" * 60000,
    "markdown emphasis": "*a **a " * 20000,
}
CPU_AND_CLEARING_UP = 1.0  # seconds of processor time that a hostile template may cost the worker


def _cpu(renderer: RenderPool) -> float:
    """Of the rendering processes that have ended, and of the one at work."""
    times = os.times()
    worker = renderer._places.queue[-1]
    now = psutil.Process(worker.pid).cpu_times() if worker is not None else None
    return times.children_user + times.children_system + (now.user + now.system if now is not None else 0.0)


@pytest.mark.parametrize("name", ESCAPES)
def test_no_template_escapes(
    name: str, renderer: RenderPool, context: dict[str, Any], monkeypatch: Any
) -> None:
    monkeypatch.setenv("TOUCHLINE_SECRET_KEY", "canary-of-the-environment")
    jobs = [
        TextJob(body=ESCAPES[name], context=context),
        MailJob(subject="s", markdown=ESCAPES[name], context=context),
        MailJob(subject="s", html=ESCAPES[name], context=context),
    ]
    for result in renderer.render_many(jobs):
        if isinstance(result, RenderError):
            assert result.reason == "template_error"
        shown = str(result).replace("[Undefined]", "")  # how a list of unsafe things looks
        assert not any(sign in shown for sign in LOOT), shown


@pytest.mark.parametrize("name", GLUTTONS)
def test_no_template_takes_everything(name: str, renderer: RenderPool, context: dict[str, Any]) -> None:
    after = TextJob(body="{{ account.id }}", context=context)
    before = _cpu(renderer)
    results = renderer.render_many([TextJob(body=GLUTTONS[name], context=context), after])
    assert _cpu(renderer) - before <= CPU_AND_CLEARING_UP + 0.5  # and the start of a new process
    if not isinstance(results[0], Body):  # what is merely large may pass, if it fits the limits
        assert isinstance(results[0], RenderError)
        assert results[0].reason in ("template_limits", "template_error")
    assert results[1] == Body("acme")


@pytest.mark.parametrize("name", [name for name in GLUTTONS if name.startswith("markdown")])
def test_no_markdown_takes_everything(name: str, renderer: RenderPool, context: dict[str, Any]) -> None:
    result = renderer.render_many([MailJob(subject="s", markdown=GLUTTONS[name], context=context)])[0]
    if isinstance(result, RenderError):
        assert result.reason == "template_limits"


def test_a_template_that_grows_its_output_is_cut_off(renderer: RenderPool, context: dict[str, Any]) -> None:
    source = "{% for i in range(99999) %}0123456789{% endfor %}"
    result = renderer.render_many([TextJob(body=source, context=context)])[0]
    assert isinstance(result, RenderError)
    assert result.reason == "template_limits"
    assert "262,144 characters" in str(result)


def test_the_process_has_no_environment_and_opens_no_file(renderer: RenderPool) -> None:
    renderer.warm_up()
    pid = renderer._places.queue[-1].pid  # type: ignore[union-attr]
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"HOME" not in environment
    assert b"TOUCHLINE" not in environment
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert [line.split()[3:5] for line in limits.splitlines() if "open files" in line] == [["3", "3"]]


def test_a_killed_process_is_replaced_and_the_jobs_are_not_blamed(
    renderer: RenderPool, context: dict[str, Any]
) -> None:
    renderer.warm_up()
    os.kill(renderer._places.queue[-1].pid, 9)  # type: ignore[union-attr]
    job = TextJob(body="{{ account.id }}", context=context)
    assert renderer.render_many([job] * 3) == [Body("acme")] * 3


def test_a_batch_goes_on_behind_every_job_that_ends_the_process(
    renderer: RenderPool, context: dict[str, Any]
) -> None:
    good = TextJob(body="{{ account.id }}", context=context)
    loop = TextJob(body=GLUTTONS["loops"], context=context)
    greedy = TextJob(body=GLUTTONS["repeat"], context=context)
    results = renderer.render_many([good, greedy, good, loop, good, greedy])
    reasons = [result.reason if isinstance(result, RenderError) else "" for result in results]
    assert reasons == ["", "template_limits", "", "template_limits", "", "template_limits"]


def test_much_that_is_known_of_accounts_is_no_job_s_fault(renderer: RenderPool) -> None:
    """Mails to accounts of thousands of contacts: a batch of them is more than a process has memory for."""
    accounts = [
        {
            "contacts": [
                {"id": f"contact-{n}", "email": f"contact-{n}@acme.test", "roles": []} for n in range(4_000)
            ]
        }
        for _ in range(64)
    ]
    jobs = [TextJob(body="{{ account.contacts | length }}", context={"account": one}) for one in accounts]
    assert renderer.render_many(jobs) == [Body("4000")] * 64


def test_an_account_that_many_jobs_know_goes_to_the_process_once() -> None:
    """A mail to each of ten thousand contacts would take ten minutes."""
    account = {"id": "acme", "contacts": [{"id": f"contact-{n}"} for n in range(10_000)]}
    jobs = [TextJob(body=str(n), context={"account": account, "tier": "low"}) for n in range(100)]
    content, count = wire_format.encode_jobs([CheckJob(sources={}), *jobs])
    assert count == wire_format.FRAME_JOBS
    assert content.count(b"contact-9999") == 1
    assert wire_format.decode_jobs(content) == ([CheckJob(sources={}), *jobs[: count - 1]], {})


def test_checking_a_template_is_bounded_too(renderer: RenderPool) -> None:
    started = time.process_time()
    flaws = renderer.check({"subject": "{{ 7 ** 7 ** 9 }}", "markdown": "{{ 'a' * 10 ** 10 }}"}).flaws
    assert flaws == []  # nothing is run when it is checked
    assert time.process_time() - started < 1
