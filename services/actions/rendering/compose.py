"""Makes a job's answer. Runs in the render process only, since a template may loop for ever or ask for
all the memory."""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from html import escape
from traceback import walk_tb
from typing import Any, NamedTuple

from jinja2 import TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError

from services.actions.rendering import layout, sandbox
from services.actions.rendering.html_links import with_safe_links
from services.actions.rendering.jobs import (
    PART_CHARS,
    SCOPE,
    SUBJECT_CHARS,
    Answer,
    Body,
    Checked,
    CheckJob,
    Failure,
    Job,
    Mail,
    MailJob,
    TextJob,
    one_line,
)
from services.actions.rendering.markdown import Converted, convert, fill_html, fill_text
from services.actions.rendering.plain_text import text_of_html
from services.actions.rendering.sandbox import CLOSE, OPEN, OverLimit

_CACHED_LETTERS = 256
_CACHED_CHARS = 64 * 1024  # longer texts are converted each time, so that the cache stays small
_MESSAGE_CHARS = 300
_LIMITS = (OverLimit, RecursionError, OverflowError)


class _Field:
    """The field that is being rendered, for its error message."""

    name = ""


def answer(job: Job) -> Answer:
    """Render a job. Every error but `MemoryError` becomes an answer."""
    field = _Field()
    for one in (sandbox.PLAIN, sandbox.HTML, sandbox.MARKDOWN):
        one.locale = job.locale if isinstance(job, MailJob) else ""
    try:
        match job:
            case MailJob():
                return _mail(job, field)
            case TextJob():
                render = sandbox.PLAIN.value if job.typed else sandbox.PLAIN.render
                return Body(_filled(job.body, partial(render, context=job.context), "", field))
            case CheckJob():
                flaws, names = sandbox.check(job.sources)
                return Checked(flaws, sorted(names))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  a template can raise anything
        return _failure(error, field.name)


class _Foot(NamedTuple):
    """What stands below a mail, as plain text: who sent it and why, how to unsubscribe, and whose mail it is."""

    lines: list[str]
    url: str
    topic: str
    look: layout.Look


def _mail(job: MailJob, field: _Field) -> Mail:
    field.name = f"{job.at}subject"
    subject = _subject(job)
    lines = layout.footer_lines(job.context, job.sent_by)
    url = str(job.context.get("unsubscribe_url") or "")
    foot = _Foot(lines, url, job.topic, layout.Look.of(job.context, job.lang))
    html, text, own = (_html if job.markdown is None else _markdown)(job, subject, foot, field)
    if job.text is not None:
        field.name = f"{job.at}text"
        text = sandbox.PLAIN.render(job.text, job.context)
    below = "" if own and url in text else layout.footer_text(*foot)
    return Mail(subject, html, text.strip("\n") + below + "\n")


def _subject(job: MailJob) -> str:
    """One line: line breaks and control characters of a value become spaces."""
    subject = one_line(job.subject if job.literal else sandbox.PLAIN.render(job.subject, job.context))
    if not subject:
        raise ValueError("the subject is empty")
    if len(subject) > SUBJECT_CHARS:
        raise OverLimit(f"the subject has more than {SUBJECT_CHARS} characters")
    return subject


def _markdown(job: MailJob, subject: str, foot: _Foot, field: _Field) -> tuple[str, str, bool]:
    """HTML, text, and whether the template is its own layout."""
    field.name = f"{job.at}markdown"
    slots = sandbox.MARKDOWN.slots
    slots.clear()
    given = job.markdown or ""
    source = sandbox.literal(given) if job.literal else sandbox.MARKDOWN.render(given, job.context)
    if sum(map(len, slots)) > PART_CHARS:
        raise OverLimit(f"the output has more than {PART_CHARS:,} characters")
    letter = _letter(source, len(foot.lines), foot.look)
    own = [subject, foot.topic, foot.url, *foot.lines]
    values = [*own, *slots]
    return fill_html(letter.html, values, letter.urls), fill_text(letter.text, values), False


_letters: OrderedDict[tuple[str, int, layout.Look], Converted] = OrderedDict()


def _letter(source: str, lines: int, look: layout.Look) -> Converted:
    """The whole document of a markdown text, its own slots behind those of subject, topic, address and footer."""
    key = (source, lines, look)
    known = _letters.get(key)
    if known is not None:
        _letters.move_to_end(key)
        return known
    letter = convert(_shifted(source, 3 + lines))
    foot = layout.footer_html([_slot(3 + at) for at in range(lines)], _slot(2), _slot(1), look)
    letter.html = layout.document(_slot(0), letter.html, foot, look)
    if len(letter.html) <= _CACHED_CHARS:
        _letters[key] = letter
        while len(_letters) > _CACHED_LETTERS:
            _letters.popitem(last=False)
    return letter


def _slot(number: int) -> str:
    return f"{OPEN}{number}{CLOSE}"


def _shifted(source: str, by: int) -> str:
    head, *rest = source.split(OPEN)
    pieces = [head]
    for piece in rest:
        number, _, tail = piece.partition(CLOSE)
        pieces += (_slot(int(number) + by), tail)
    return "".join(pieces)


def _html(job: MailJob, subject: str, foot: _Foot, field: _Field) -> tuple[str, str, bool]:
    """The same of a template in HTML: a fragment gets the layout, a whole document has its own, footer and all."""
    field.name = f"{job.at}html"
    body = with_safe_links(sandbox.HTML.render(job.html or "", job.context))
    text = text_of_html(body)
    if layout.is_whole(body):
        return layout.inlined(body), text, True
    return layout.document(escape(subject), body, layout.footer_html(*foot), foot.look), text, False


def _filled(value: Any, render: Callable[[str], Any], path: str, field: _Field) -> Any:
    if isinstance(value, str):
        field.name = path
        return render(value)
    if isinstance(value, dict):
        return {key: _filled(item, render, f"{path}.{key}".lstrip("."), field) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, render, f"{path}[{at}]", field) for at, item in enumerate(value)]
    return value


def _failure(error: Exception, field: str) -> Failure:
    message = str(error) or type(error).__name__
    if isinstance(error, _LIMITS):
        message = "calls itself too often" if isinstance(error, RecursionError) else message
        return Failure("template_limits", message[:_MESSAGE_CHARS], field, 0)
    if isinstance(error, TemplateSyntaxError):
        return Failure("template_error", message[:_MESSAGE_CHARS], field, error.lineno)
    if isinstance(error, UndefinedError) and "has no attribute" not in message:
        message += f"; known are {', '.join(SCOPE)}"
    elif not isinstance(error, (UndefinedError, SecurityError, ValueError)):
        message = f"{type(error).__name__}: {message}"
    return Failure("template_error", message[:_MESSAGE_CHARS], field, _line(error))


def _line(error: Exception) -> int:
    """The line of the template that raised; Jinja2 puts it into the traceback."""
    lines = [line for frame, line in walk_tb(error.__traceback__) if frame.f_code.co_filename == "<template>"]
    return lines[-1] if lines else 0
