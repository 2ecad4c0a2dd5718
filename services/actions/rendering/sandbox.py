"""The Jinja2 sandbox: three environments that differ in what happens to a value on its way into the text.

plain     a value stands as it is (subjects, texts, task titles, webhook bodies)
html      a value is HTML-escaped, as Jinja2 does it
markdown  a value is replaced by a slot (two private-use characters around a number) and put in, escaped,
          after the
          markdown has become HTML: whatever a value holds, it can be no markup

The sandbox keeps templates away from Python's internals; it does not limit time or memory. So templates are
compiled and run only in the render process (`process.py`), never in the service.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from math import isfinite
from typing import Any

import msgspec
from jinja2 import StrictUndefined, Template, TemplateSyntaxError, meta, nodes, pass_context
from jinja2.compiler import CodeGenerator, Frame
from jinja2.runtime import Context, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from services.actions.rendering.filters import FILTERS
from services.actions.rendering.jobs import PART_CHARS, SCOPE, SOURCE_CHARS, Flaw

OPEN, CLOSE = "\ue000", "\ue001"  # around the number of a slot
OPEN_URL, CLOSE_URL = "\ue002", "\ue003"  # around the number of an address that holds slots
_PRIVATE = {ord(mark): None for mark in (OPEN, CLOSE, OPEN_URL, CLOSE_URL)}

_RANDOM_OR_COSTLY = ("lipsum", "cycler", "joiner")
_LAZY = ("map", "select", "reject", "selectattr", "rejectattr", "batch", "slice", "unique", "items")
# these make text of a value
_TEXT_OF = (
    "capitalize", "center", "e", "escape", "forceescape", "indent", "lower", "replace", "string", "striptags", "title",
    "trim", "truncate", "upper", "urlencode", "urlize", "wordwrap",
)  # fmt: skip
_CACHED_TEMPLATES = 256
_VALUE = "value_of_the_expression"
_encode = msgspec.json.Encoder().encode


class OverLimit(Exception):
    """A template whose output outgrew `PART_CHARS`."""


class Captured(str):
    """What a macro or a `{% set %}` block gave: a plain string for the template, with its slots kept in `source`."""

    source: str

    def __new__(cls, plain: str, source: str) -> "Captured":
        captured = super().__new__(cls, plain)
        captured.source = source
        return captured


class Method:
    """A method that a template names without calling it. Printing it would show only its address in memory."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __str__(self) -> str:
        name = getattr(self.function, "__name__", "it")
        raise TypeError(f"{name} is a method: write {name}() for what it gives")

    __repr__ = __format__ = __str__  # type: ignore[assignment]


class _Generator(CodeGenerator):
    """Jinja2 prints what `{% filter %}` and `{% call %}` gave unescaped; here it is a value like any other."""

    def visit_FilterBlock(self, node: nodes.FilterBlock, frame: Frame) -> None:  # noqa: N802
        filtered = frame.inner()
        filtered.symbols.analyze_node(node)
        self.enter_frame(filtered)
        self.buffer(filtered)
        self.blockvisit(node.body, filtered)
        self.start_write(frame, node)
        self.write("str(environment.finalize(context, ")
        self.visit_Filter(node.filter, filtered)
        self.write("))")
        self.end_write(frame)
        self.leave_frame(filtered)

    def visit_CallBlock(self, node: nodes.CallBlock, frame: Frame) -> None:  # noqa: N802
        call, macro = self.macro_body(node, frame)
        self.writeline("caller = ")
        self.macro_def(macro, call)
        self.start_write(frame, node)
        self.write("str(environment.finalize(context, ")
        self.visit_Call(node.call, frame, forward_caller=True)
        self.write("))")
        self.end_write(frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802
        """`~` as in Jinja2, but null adds nothing."""
        escaping = frame.eval_ctx.autoescape
        both = "(markup_join if context.eval_ctx.autoescape else str_join)"
        self.write(both if frame.eval_ctx.volatile else "markup_join" if escaping else "str_join")
        self.write("((")
        for part in node.nodes:
            self.write("environment.in_text(")
            self.visit(part, frame)
            self.write("), ")
        self.write("))")


class Sandbox(ImmutableSandboxedEnvironment):
    """Names of a mapping come before its methods, so `data.items` is the event's `items` if there is one."""

    code_generator_class = _Generator

    def __init__(self, finalize: Callable[[Context, Any], Any], *, autoescape: bool = False) -> None:
        super().__init__(
            undefined=StrictUndefined, autoescape=autoescape, finalize=finalize, optimized=False,
            cache_size=0, auto_reload=False, keep_trailing_newline=False,
        )  # fmt: skip
        for name in _RANDOM_OR_COSTLY:
            del self.globals[name]
        del self.filters["random"]  # a mail depends on the log alone
        self.filters.update(FILTERS)
        for name in _LAZY:
            self.filters[name] = _at_once(self.filters[name])
        for name in _TEXT_OF:
            self.filters[name] = _of_text(self.filters[name])
        self.slots: list[str] = []
        self.locale = ""  # of the rendering under way, for filters
        self._compiled: dict[str, Template] = {}
        self._expressions: dict[str, Template | None] = {}

    @staticmethod
    def in_text(value: Any) -> Any:
        """What a value adds to a text: null nothing."""
        return "" if value is None else value

    def getattr(self, obj: Any, attribute: str) -> Any:
        """An attribute in a template: the item of that name where `obj` is a mapping that has it."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return _unprinted(super().getattr(obj, attribute))

    def getitem(self, obj: Any, argument: Any) -> Any:
        """What stands in brackets; Jinja2 takes attributes too."""
        return _unprinted(super().getitem(obj, argument))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805  as in Jinja2
        """A call in a template."""
        function = __obj.function if isinstance(__obj, Method) else __obj
        return super().call(__context, function, *args, **kwargs)

    def template(self, source: str) -> Template:
        """The compiled template; raises `TemplateSyntaxError`."""
        compiled = self._compiled.get(source)
        if compiled is None:
            if len(source) > SOURCE_CHARS:
                raise OverLimit(f"the template has more than {SOURCE_CHARS:,} characters")
            while len(self._compiled) >= _CACHED_TEMPLATES:
                del self._compiled[next(iter(self._compiled))]
            compiled = self._compiled[source] = self.from_string(source.translate(_PRIVATE))
        return compiled

    def render(self, source: str, context: Mapping[str, Any]) -> str:
        """The filled-in template. Raises what Jinja2 raises, `OverLimit`, and whatever an expression runs into."""
        parts: list[str] = []
        size = 0
        for part in self.template(source).generate(context):
            size += len(part)
            if size > PART_CHARS:
                raise OverLimit(f"the output has more than {PART_CHARS:,} characters")
            parts.append(part)
        return "".join(parts)

    def value(self, source: str, context: Mapping[str, Any]) -> Any:
        """The value of a template that is one expression and nothing else, in the types of JSON; else its text."""
        expression = self._expression(source)
        if expression is None:
            return self.render(source, context)
        scope = expression.new_context(dict(context))
        try:
            for _ in expression.root_render_func(scope):
                pass
        except Exception:  # noqa: BLE001 - raises it again, with the template's line in place of the compiled one's
            self.handle_exception()
        found = _in_json(scope, scope.vars[_VALUE])
        if len(_encode(found)) > PART_CHARS:
            raise OverLimit(f"the output has more than {PART_CHARS:,} characters")
        return found

    def _expression(self, source: str) -> Template | None:
        """The template that assigns the expression to `_VALUE`; None if the source is not one expression alone."""
        if source in self._expressions:
            return self._expressions[source]
        self.template(source)  # raises for what is no template, or too long
        found = None
        if source.startswith("{{") and source.endswith("}}"):
            parsed = self.parse(source.translate(_PRIVATE))
            match parsed.body:
                case [nodes.Output(nodes=[one])] if not isinstance(one, nodes.TemplateData):
                    line = one.lineno
                    into = nodes.Assign(nodes.Name(_VALUE, "store", lineno=line), one, lineno=line)
                    tree = nodes.Template([into], lineno=1)
                    tree.set_environment(self)
                    found = self.from_string(tree)
        while len(self._expressions) >= _CACHED_TEMPLATES:
            del self._expressions[next(iter(self._expressions))]
        self._expressions[source] = found
        return found


class MarkdownSandbox(Sandbox):
    """Values become slots; `slots[n]` is the value of slot n of the rendering under way."""

    def __init__(self) -> None:
        super().__init__(_to_slot)

    def concat(self, parts: Iterable[str]) -> str:
        """How Jinja2 joins what a macro, a `{% set %}` or `{% filter %}` block captured."""
        source = "".join(parts)
        return Captured(self.plain(source), source) if OPEN in source else source

    def plain(self, text: str) -> str:
        """The text with its slots filled in as they are."""
        head, *rest = text.split(OPEN)
        pieces = [head]
        for piece in rest:
            number, _, tail = piece.partition(CLOSE)
            pieces += (self.slots[int(number)], tail)
        return "".join(pieces)


def _unprinted(value: Any) -> Any:
    plain = isinstance(value, Undefined | Macro | Method) or not callable(value)
    return value if plain else Method(value)


def _at_once(lazy: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, with a list in place of its generator, which would print as an address in memory."""

    @wraps(lazy)
    def filtered(*args: Any, **kwargs: Any) -> list[Any]:
        return list(lazy(*args, **kwargs))

    return filtered


def _of_text(text_filter: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, to which null is an empty text: nobody is to read "Dear None"."""

    @wraps(text_filter)
    def filtered(*args: Any, **kwargs: Any) -> Any:
        return text_filter(*map(Sandbox.in_text, args), **kwargs)

    return filtered


@pass_context
def _to_slot(context: Context, value: Any) -> str:
    if isinstance(value, Captured):
        return value.source
    slots = context.environment.slots  # type: ignore[attr-defined]
    text = str(_printed(context, value))  # an unknown name raises here
    if not text:
        return ""
    slots.append(text)
    return f"{OPEN}{len(slots) - 1}{CLOSE}"


def _in_json(context: Context, value: Any) -> Any:
    """A value in the types of JSON; what has none there becomes text, as anywhere else in a template."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError(f"{value} is no number in JSON")
        return int(value) if value.is_integer() and abs(value) < 1e15 else value
    if isinstance(value, int):
        return value
    if isinstance(value, Mapping):
        return {str(_printed(context, name)): _in_json(context, each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_in_json(context, each) for each in value]
    return str(_printed(context, value))


@pass_context
def _printed(_: Context, value: Any) -> Any:
    """A value as text: empty for null, `true` and `false` as in JSON, whole floats without `.0`."""
    if value is None:
        return ""
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, Undefined) or hasattr(value, "__html__"):
        return value  # the one raises as soon as it is printed, the other is escaped already
    return str(value)


def literal(text: str) -> str:
    """A text that is no template, as the rendered source of one: without the characters that mark slots."""
    if len(text) > PART_CHARS:
        raise OverLimit(f"the output has more than {PART_CHARS:,} characters")
    return "\n".join(text.translate(_PRIVATE).splitlines())


PLAIN = Sandbox(_printed)
HTML = Sandbox(_printed, autoescape=True)
MARKDOWN = MarkdownSandbox()


def check(sources: Mapping[str, str]) -> tuple[list[Flaw], set[str]]:
    """The flaws of the templates (field to source) and the names they take from the scope."""
    flaws: list[Flaw] = []
    names: set[str] = set()
    for field, source in sources.items():
        try:
            PLAIN.template(
                source
            )  # parsing alone misses what only the compiler sees: unknown filters and tests
            used = meta.find_undeclared_variables(PLAIN.parse(source)) - PLAIN.globals.keys()
        except TemplateSyntaxError as error:
            flaws.append(Flaw(field, error.lineno, error.message or "cannot be read"))
            continue
        except OverLimit as error:
            flaws.append(Flaw(field, 1, str(error)))
            continue
        names |= used
        for name in sorted(used - set(SCOPE)):
            known = ", ".join(SCOPE)
            flaws.append(Flaw(field, _line_of(source, name), f"unknown name '{name}'; known are {known}"))
    return flaws, names


def _line_of(source: str, name: str) -> int:
    return next((at for at, line in enumerate(source.splitlines(), 1) if name in line), 1)
