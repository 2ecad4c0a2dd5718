"""What a mail looks like: values are only ever values, both parts say the same, and the footer says why it came."""

# ruff: noqa: E501  templates read better in one line
import random
from html.parser import HTMLParser
from typing import Any

import pytest

from services.actions.channels.email.spec import EmailSpec
from services.actions.plays.model import ActionDraft, Rendered, RenderFailure, RenderJob, TaskSpec
from services.actions.rendering import Body, MailJob, RenderError, RenderPool, TextJob
from services.actions.rendering.draft_renderer import DraftRenderer
from services.actions.rendering.html_links import with_safe_links
from services.actions.rendering.links import safe_url

MARKUP = [
    "[x](http://evil.test)", "**bold**", "_em_", "`code`", "# head", "- item", "1. item", "> quote", "<b>b</b>",
    "![i](http://evil.test/i.png)", "<http://evil.test>", "&lt;", "a\n\n# b", "a\n===", "| a |\n|---|", "***", "\\", "```",
    '"><img src=x onerror=y>', "[x]: http://evil.test", "~~s~~", "<script>alert(1)</script>", "\ue0000\ue001",
]  # fmt: skip


def mail(renderer: RenderPool, context: dict[str, Any], **fields: Any) -> Any:
    """A rendered mail."""
    return renderer.mail(MailJob(**{"subject": "s", "context": context, **fields}))


def body_of(html: str) -> str:
    """What stands inside the letter."""
    return html.partition('<div class="letter"')[2].partition(">\n")[2].partition('<div class="foot"')[0]


@pytest.mark.parametrize("value", MARKUP)
@pytest.mark.parametrize(
    "source",
    ["{{ v }}", "a {{ v }} b", "- {{ v }}", "[label {{ v }}](https://a.test)", "**{{ v }}**", "`{{ v }}`"],
)
def test_a_value_is_no_markup(renderer: RenderPool, value: str, source: str) -> None:
    plain = mail(renderer, {"account": {"v": "word"}}, markdown=source.replace("v }}", "account.v }}"))
    tested = mail(renderer, {"account": {"v": value}}, markdown=source.replace("v }}", "account.v }}"))
    same = body_of(tested.html).replace("<br>\n", "\n")
    escaped = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert same.replace('"', "&quot;").replace(escaped.replace('"', "&quot;"), "word") == body_of(
        plain.html
    ).replace('"', "&quot;")
    assert value in tested.text


@pytest.mark.parametrize(
    "source",
    [
        "{% macro m(x) %}**{{ x }}**{% endmacro %}{{ m(account.v) }}",
        "{% set x %}**{{ account.v }}**{% endset %}{{ x }}",
        "{% filter trim %}{{ account.v }}{% endfilter %}",
        "{{ account.v ~ '' }} {{ account.v | safe }} {{ account.v | e }} {{ account.v | urlize }}",
        "{{ [account.v] | join('[y](http://evil.test)') }} {{ account.v | tojson }} {{ account.v | indent }}",
        "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{{ account.v }}{% endcall %}",
        "{% filter replace('x', 'y') %}[a]{{ account.v }}{% endfilter %}",
        "{% set x | trim %}{{ account.v }}{% endset %}{{ x }}{{ x | upper }}{{ [x] }}",
    ],
)
def test_no_way_of_building_a_text_makes_a_value_markup(renderer: RenderPool, source: str) -> None:
    html = mail(renderer, {"account": {"v": "[x](http://evil.test)<b>"}}, markdown=source).html
    assert 'href="http://evil' not in html
    assert "<b>" not in html


def test_what_the_author_captures_stays_markdown(renderer: RenderPool) -> None:
    source = "{% macro m(x) %}**{{ x }}**{% endmacro %}{{ m(account.v) }} {% if m('a') == '**a**' %}same{% endif %}"
    html = body_of(mail(renderer, {"account": {"v": "*a*"}}, markdown=source).html)
    assert "<strong>*a*</strong> same" in html


def test_links_are_checked_once_they_are_whole(renderer: RenderPool, context: dict[str, Any]) -> None:
    source = (
        "[a]({{ trigger.event.data.url }}) [b]({{ 'java' ~ 'script:x' }}) [c](https://b.test/?q={{ account.name|urlencode }})"
        " [d](javascript:x) [e](mailto:{{ owner.email }}) ![i]({{ 'data:x' }})"
    )
    html = body_of(mail(renderer, context, markdown=source).html)
    assert 'href="https://a.test/x?a=1&amp;b=2"' in html
    assert 'href="https://b.test/?q=Acme%20%26%20Sons"' in html
    assert 'href="mailto:jo@us.test"' in html
    assert html.count('href="#"') == 2
    assert 'src="#"' in html


@pytest.mark.parametrize(
    "url",
    [
        "javascript:x",
        " JavaScript:x",
        "java\nscript:x",
        "vbscript:x",
        "data:text/html,x",
        "file:///etc/passwd",
        "\x01javascript:x",
    ],
)
def test_schemes_that_do_harm_lead_nowhere(url: str) -> None:
    assert safe_url(url) == "#"


def test_the_text_part_reads_like_the_letter(renderer: RenderPool, context: dict[str, Any]) -> None:
    source = (
        "# Hi {{ contact.name }}\n\nyour *plan* at [our site](https://a.test):\n\n- one\n- two `x`\n  1. deep\n\n"
        "> quoted\n> text\n\n---\n\n| a | b |\n|---|---|\n| 1 | {{ account.attributes.arr }} |\n\n```\ncode\n```\n"
    )
    text = mail(renderer, context, markdown=source).text
    assert text == (
        "Hi Ann Lee\n\nyour plan at our site (https://a.test):\n\n- one\n- two x\n  1. deep\n\n"
        "> quoted\n> text\n\n----------------------------------------\n\na | b\n1 | 1200\n\ncode\n\n-- \n"
        "Sent by Jo Doe to ann@acme.test, as a contact of Acme & Sons.\n"
        "Unsubscribe from lifecycle mails: https://us.test/u/token?a=1&b=2\n"
    )


def test_an_html_template_gets_layout_footer_and_a_text(
    renderer: RenderPool, context: dict[str, Any]
) -> None:
    made = mail(
        renderer, context, topic="billing", html="<style>p {color: red}</style><p>Hi <b>{{ account.name }}</b></p><p>See <a href='https://a.test'>this</a></p>"
    )  # fmt: skip
    assert "Acme &amp; Sons</b>" in made.html
    assert 'style="margin: 0 0 18px;color: red;"' in made.html
    assert "https://us.test/u/token?a=1&amp;b=2" in made.html
    assert made.text.startswith("Hi Acme & Sons\n\nSee this (https://a.test)\n\n-- \nSent by")
    assert "from billing mails" in made.text


def test_a_whole_document_keeps_its_own_layout(renderer: RenderPool, context: dict[str, Any]) -> None:
    made = mail(renderer, context, html="<html><body><p>x</p></body></html>", text="only {{ contact.name }}")
    assert made.html.count("<body") == 1
    assert "letter" not in made.html
    assert "Unsubscribe" not in made.html
    assert made.text.startswith("only Ann Lee\n\n-- \n")


def test_an_internal_mail_has_no_footer(renderer: RenderPool, context: dict[str, Any]) -> None:
    made = mail(renderer, {**context, "unsubscribe_url": None}, markdown="x")
    assert made.text == "x\n"
    assert "Unsubscribe" not in made.html


def test_a_footer_names_no_account_that_has_no_name(renderer: RenderPool, context: dict[str, Any]) -> None:
    """Its id means nothing to a reader."""
    context["account"] |= {"id": "acc_7f3a", "name": None}
    made = mail(renderer, context, markdown="x", sent_by="Jo Doe")
    assert "Sent by Jo Doe to ann@acme.test.\n" in made.text
    assert "acc_7f3a" not in made.text + made.html


def test_a_subject_is_one_line(renderer: RenderPool, context: dict[str, Any]) -> None:
    context["account"]["name"] = "Acme\r\nBcc: x@evil.test\x00\x0b\u2028y"
    assert (
        mail(renderer, context, subject="Hi {{ account.name }}", markdown="x").subject
        == "Hi Acme Bcc: x@evil.test y"
    )


def test_values_print_as_json_has_them(renderer: RenderPool) -> None:
    body = "{{ account.a }}|{{ account.b }}|{{ account.c }}|{{ account.d }}|{{ account.e | date }}|{{ account.f|date('short') }}"
    values = {"a": None, "b": True, "c": 3.0, "d": 2.5, "e": "2027-03-01", "f": "2027-03-01T09:00:00Z"}
    assert renderer.render_many([TextJob(body=body, context={"account": values})]) == [
        Body("|true|3|2.5|Mar 1, 2027|3/1/27")
    ]


@pytest.mark.parametrize(
    "source",
    [f"{{{{ account.v | {name} }}}}" for name in ("upper", "title", "trim", "e", "string", "replace('N', 'n')", "truncate(3)")]
    + ["{{ '' ~ account.v }}", "{{ account.v ~ account.v }}", "{% filter upper %}{{ account.v }}{% endfilter %}"],
)  # fmt: skip
def test_null_is_no_word(renderer: RenderPool, source: str) -> None:
    """Nobody reads "Dear None"."""
    made = mail(renderer, {"account": {"v": None}}, subject=f"a{source}b", markdown=f"a{source}b")
    assert made.subject == "ab"
    assert ">ab<" in made.html
    [text] = renderer.render_many([TextJob(body=f"a{source}b", context={"account": {"v": None}})])
    assert text == Body("ab")
    [told] = renderer.render_many([TextJob(body=f"a{source}b", context={"account": {"v": "None"}})])
    assert told not in (text, Body("")), "a text that reads so stays"


def test_whole_numbers_may_have_any_size(renderer: RenderPool) -> None:
    """An event may hold them; one that did stopped the worker."""
    context = {"trigger": {"event": {"data": {"n": 2**70, "of": [-(2**64)]}}}}
    job = TextJob(body={"text": "{{ trigger.event.data.n }}", "plain": 10**30}, context=context)
    assert renderer.render_many([job]) == [Body({"text": str(2**70), "plain": 10**30})]


@pytest.mark.parametrize(
    "source",
    [
        "{{ account.keys }}", "{{ account['keys'] }}", "{{ [account.keys] }}", "{{ 'a' ~ account.keys }}",
        "{{ account.keys | string }}", "{{ {'a': account.keys} }}", "{{ '%s' | format(account.keys) }}",
        "{% set n = namespace(f=account.keys) %}{{ n.f }}", "{{ account.name.upper }}", "{{ account | attr('keys') }}",
        "{{ [account] | map(attribute='keys') | join }}", "{{ account.keys | pprint }}", "{{ (account.keys,) | join }}",
    ],
)  # fmt: skip
def test_no_method_is_printed(renderer: RenderPool, source: str) -> None:
    """It looked like `<built-in method keys of dict object at 0x7f…>`: an address of ours in a customer's mail."""
    (failed,) = renderer.render_many([TextJob(body=source, context={"account": {"name": "Acme"}})])
    assert isinstance(failed, RenderError), failed
    assert "0x" not in str(failed)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ account.keys() | list }}", "['name']"),
        ("{{ account.name.upper() }}", "ACME"),
        ("{{ account.get('x', 'y') }}", "y"),
        ("{{ '{}!'.format(account.name) }}", "Acme!"),
        ("{{ ['b', 'a'] | map('upper') }}", "['B', 'A']"),
        ("{{ [1, 2, 3] | select('odd') | sum }}", "4"),
        ("{{ [{'n': 1}, {'n': 2}] | selectattr('n', 'gt', 1) | map(attribute='n') | join }}", "2"),
        ("{{ ['a', 'a'] | unique }}", "['a']"),
        ("{% for a, b in account | items %}{{ a }}={{ b }}{% endfor %}", "name=Acme"),
        ("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m('a') }}", "<a>"),
        ("{% for x in [1, 2] %}{{ loop.cycle('a', 'b') }}{% endfor %}", "ab"),
    ],
)
def test_what_is_called_is_printed(renderer: RenderPool, source: str, said: str) -> None:
    job = TextJob(body=source, context={"account": {"name": "Acme"}})
    assert renderer.render_many([job]) == [Body(said)]


HARM = [
    "javascript:alert(1)",
    " JAVASCRIPT:x",
    "java\tscript:x",
    "data:text/html,x",
    "vbscript:x",
    "file:///etc/passwd",
]


@pytest.mark.parametrize("value", HARM)
@pytest.mark.parametrize(
    "source",
    [
        '<a href="{{ v }}">x</a>', "<a href='{{ v }}' title=\"{{ v }}\">x</a>", "<a href={{ v | urlize }}>x</a>",
        '<form action="{{ v }}"></form>', '<img src="{{ v }}">', "<A HREF='{{ v }}'>x</A>", '<a\nhref="{{ v }}"\n>x</a>',
        '<p>a</p>\n\n<svg><a xlink:href="{{ v }}"/></svg>', '<img srcset="{{ v }} 1x, https://a.test/b.png 2x">',
        '<html><body background="{{ v }}">x</body></html>', '<meta http-equiv="refresh" content="0;url={{ v }}">',
    ],
)  # fmt: skip
def test_no_address_of_an_html_template_leads_to_a_script(
    renderer: RenderPool, source: str, value: str
) -> None:
    html = mail(renderer, {"v": value}, html=source).html
    for tag in Links(html).tags:
        for name, found in tag:
            assert (
                name in ("title", "class", "style", "lang", "name", "charset")
                or "script" not in (found or "").lower()
            )
            assert name not in ("href", "src", "action", "xlink:href", "srcset", "background") or not (
                (found or "").strip().lower().startswith(("data:", "vbscript:", "file:", "javascript"))
            )


class Links(HTMLParser):
    """The attributes of every tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[list[tuple[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(attrs)


def test_what_no_mail_needs_goes() -> None:
    source = "<p onclick='go()' class=a>Hi</p><script>var a = '<p>';</script><b>Jo</b><script src=x>"
    assert with_safe_links(source) == '<p class="a">Hi</p><b>Jo</b>'


@pytest.mark.parametrize(
    "source",
    [
        "<p>a &amp; b<br/>\n<a href='https://a.test/?a=1&amp;b=2'>x</a> <img src=cid:logo><!--[if mso]><b><![endif]--></p>",
        '<a href="#top">x</a><a href="/docs">y</a><a href="mailto:jo@us.test">z</a><a href="tel:+33">t</a>',
        '<img src="data:image/png;base64,AAAA" alt="">', "a < b and <not a tag", "<td>1</td\n><td>2", "",
        '<meta http-equiv="Content-Type" content="text/html; charset=utf-8">',
    ],
)  # fmt: skip
def test_what_does_no_harm_stays_to_the_letter(source: str) -> None:
    assert with_safe_links(source) == source


def test_items_come_before_methods(renderer: RenderPool, context: dict[str, Any]) -> None:
    source = "{{ trigger.event.data.items | length }} {{ account.attributes.get('none', 'no') }}"
    assert renderer.render_many([TextJob(body=source, context=context)]) == [Body("2 no")]


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("a\n{{ nope }}", 2, "'nope' is undefined; known are account,"),
        ("a\n\n{{ account.attributes.plan }}", 3, "has no attribute 'plan'"),
        ("{{ 1 / 0 }}", 1, "division by zero"),
        ("a\n{% if %}", 2, "Expected an expression"),
        ("{{ x | nofilter }}", 1, "No filter named 'nofilter'"),
    ],
)
def test_errors_name_field_and_line(
    renderer: RenderPool, context: dict[str, Any], source: str, line: int, message: str
) -> None:
    result = renderer.render_many([TextJob(body={"a": ["x", source]}, context=context)])[0]
    assert isinstance(result, RenderError)
    assert (result.reason, result.field, result.line) == ("template_error", "a[1]", line)
    assert message in str(result)


def test_checking_finds_every_flaw_with_its_line(renderer: RenderPool) -> None:
    checked = renderer.check({
        "subject": "{{ account.name }}", "markdown": "a\n{% if %}", "text": "x\n{{ acount.name }}", "html": "{{ x | nofilter }}",
    })  # fmt: skip
    assert [(flaw.field, flaw.line) for flaw in checked.flaws] == [("markdown", 2), ("text", 2), ("html", 1)]
    assert "unknown name 'acount'" in checked.flaws[1].message
    assert checked.names == ["account", "acount"]


def test_the_same_job_gives_the_same_mail_in_any_company(
    renderer: RenderPool, context: dict[str, Any]
) -> None:
    jobs = [
        MailJob(subject="{{ contact.name }}", markdown="Hi {{ contact.name }} {% if n %}x{% endif %}".replace("n %", f"{at % 2} %"),
                context={**context, "contact": {"name": f"N{at}", "email": f"n{at}@a.test"}})
        for at in range(150)
    ]  # fmt: skip
    alone = [renderer.mail(job) for job in jobs]
    order = list(range(150))
    random.Random(1).shuffle(order)
    together = renderer.render_many([jobs[at] for at in order])
    assert together == [alone[at] for at in order]


def draft(spec: Any, context: dict[str, Any], channel: str = "email") -> RenderJob:
    """A job as the worker makes it."""
    known = {name: value for name, value in context.items() if name != "unsubscribe_url"}
    return RenderJob(draft=ActionDraft(
        id="act_1", play="ply_1", playbook="p", account="acme", contact="ann", channel=channel, step="0",
        recipient="ann@acme.test", topic="billing", rule="r", tier="low", due_at=0, spec=spec, context=known,
    ))  # fmt: skip


def test_drafts_become_content(renderer: RenderPool, context: dict[str, Any]) -> None:
    drafts = DraftRenderer(
        renderer, {"name": "Us", "email": "hello@us.test"}, lambda draft: f"https://us.test/u/{draft.id}"
    )
    document = {"subject": "Hi {{ contact.name }}", "markdown": "{{ unsubscribe_url }}"}
    owner = {"name": "Jo", "email": "jo@us.test"}
    answers = drafts.render_many([
        draft(EmailSpec(template="t", version=1, document=document, to_name="Ann", owner=owner), context),
        draft(EmailSpec(template="t", version=None, document=None), context),
        draft(TaskSpec(title="Call {{ account.id }}", key="k-{{ trigger.key }}", default_key="p/0"), context, "task"),
        draft(EmailSpec(template="t", version=1, document={**document, "markdown": "x"}, internal=True, sender="me@us.test"), context),
        draft(EmailSpec(template="t", version=1, document={**document, "subject": "{{ no }}"}), context),
    ])  # fmt: skip
    first, unknown, task, internal, broken = answers
    assert isinstance(first, Rendered)
    assert first.content["from"] == first.content["reply_to"] == {"name": "Jo", "email": "jo@us.test"}
    assert first.content["to"] == {"name": "Ann", "email": "ann@acme.test"}
    assert first.content["text"].startswith("https://us.test/u/act_1\n")
    assert isinstance(unknown, RenderFailure)
    assert unknown.reason == "template_unknown"
    assert isinstance(task, Rendered)
    assert task.content == {"title": "Call acme", "body": None, "key": "k-88"}
    assert isinstance(internal, Rendered)
    assert internal.content["unsubscribe_url"] is None
    assert internal.content["from"] == {"name": None, "email": "me@us.test"}
    assert isinstance(broken, RenderFailure)
    assert (broken.reason, broken.detail[:16]) == ("template_error", "subject, line 1:")
