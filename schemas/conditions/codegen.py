"""Conditions as generated Python: each path is looked up once, and each comparison is typed by its operand.

`Emitter` collects lookups and yields expressions; the rules engine shares one among all conditions of an
event type. A value has three views: as it is (`v3`), as a number or NaN (`n3`), as a text or None (`s3`). NaN
and None make comparisons with unlike types false without a test. Of the user's document, only the `repr` of
strings and numbers becomes code.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import re2

from schemas.event import Event
from schemas.profile import Contact, Profile

ROOTS = ("data", "contact", "account", "trigger", "type", "source")
ACCOUNT_FIELDS = frozenset(
    {"id", "name", "tier", "timezone", "owner", "domains", "external_ids", "attributes"}
)
CONTACT_FIELDS = frozenset(
    {"id", "email", "phone", "name", "roles", "active", "timezone", "locale", "attributes"}
)
NAN = float("nan")
MAX_PATH, MAX_SEGMENTS = 512, 16

_re2_options = re2.Options()
_re2_options.max_mem = 1 << 20
_re2_options.log_errors = False
# No caller reads groups, and recording thousands of them takes minutes for each text.
_re2_options.never_capture = True


class ConditionError(ValueError):
    """A path or pattern that cannot be used."""


class Scope:
    """What a condition may look at. Missing parts are None; `tier` is the resolved one."""

    __slots__ = ("contact", "event", "profile", "tier", "trigger")

    def __init__(
        self,
        event: Event | None = None,
        profile: Profile | None = None,
        contact: Contact | None = None,
        tier: str | None = None,
        trigger: Mapping[str, Any] | None = None,
    ) -> None:
        self.event, self.profile, self.contact = event, profile, contact
        self.tier, self.trigger = tier, trigger


def check_path(path: str) -> None:
    """Raise `ConditionError` unless `path` is one that conditions know."""
    root, *names = path.split(".")
    if root not in ROOTS:
        raise ConditionError(
            f"{path[:80]} is no path: it must begin with data., account., contact., or be type or source"
        )
    if root in ("type", "source"):
        if names:
            raise ConditionError(f"{root} has no parts")
        return
    if not names or not all(names) or len(names) > MAX_SEGMENTS or len(path) > MAX_PATH:
        raise ConditionError(f"{path[:80]} must name something below {root}, parts separated by single dots")
    known = {"account": ACCOUNT_FIELDS, "contact": CONTACT_FIELDS}.get(root)
    if known is not None and names[0] not in known:
        raise ConditionError(f"{root} has no {names[0][:80]}; known: {', '.join(sorted(known))}")


def check_pattern(pattern: str) -> Any:
    """The compiled RE2 pattern; raises `ConditionError` for one that is not understood or too large."""
    try:
        return re2.compile(pattern, options=_re2_options)
    except re2.error as error:
        text = error.args[0] if error.args else "not understood"
        why = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
        raise ConditionError(f"is no regular expression in RE2's syntax: {why}") from error


def dig(value: Any, *names: str) -> Any:
    """The value at this path of names below `value`, None where there is none."""
    for name in names:
        if type(value) is not dict:
            return None
        value = value.get(name)
    return value


def _contains(value: Any, operand: Any) -> bool:
    if type(value) is str:
        return type(operand) is str and operand in value
    return type(value) is list and any(same(item, operand) for item in value)


def same(left: Any, right: Any) -> bool:
    """Equal, types told apart at any depth: true is not 1, but 1 is 1.0."""
    if left != right or (type(left) is bool) != (type(right) is bool):
        return False
    if type(left) is list:
        return all(map(same, left, right))
    return type(left) is not dict or all(same(value, right[name]) for name, value in left.items())


def _finder(pattern: str) -> Callable[[str], bool]:
    search = check_pattern(pattern).search

    def find(text: str) -> bool:
        try:
            return search(text) is not None
        except UnicodeEncodeError:  # a lone surrogate is in no pattern's alphabet
            return False

    return find


class Emitter:
    """Collects the lookups that expressions need. `env` are the constants of the generated code."""

    def __init__(self) -> None:
        self.env: dict[str, Any] = {"NAN": NAN, "dig": dig, "contains": _contains}
        self.places: dict[str, int] = {}
        self._views: dict[tuple[str, int], str] = {}

    def constant(self, value: Any) -> str:
        """A name for `value` in the generated code."""
        name = f"k{len(self.env)}"
        self.env[name] = value
        return name

    def view(self, path: str, kind: str = "v") -> str:
        """The name of a path's value: as it is (`v`), as number or NaN (`n`), as text or None (`s`)."""
        place = self.places.setdefault(path, len(self.places))
        self._views[("v", place)] = f"v{place} = {_lookup(path)}"
        if kind == "n":
            line = f"n{place} = v{place} if v{place}.__class__ is int or v{place}.__class__ is float else NAN"
            self._views[("n", place)] = line
        elif kind == "s":
            self._views[("s", place)] = f"s{place} = v{place} if v{place}.__class__ is str else None"
        return f"{kind}{place}"

    def prelude(self) -> list[str]:
        """The lines that make all views; they read `data`, `e`, `p`, `c`, `tier`, `trigger`."""
        order = {"v": 0, "n": 1, "s": 2}
        return [
            line for _, line in sorted(self._views.items(), key=lambda item: (item[0][1], order[item[0][0]]))
        ]

    def expression(self, condition: Mapping[str, Any]) -> str:
        """A Python expression that is true when the (plain) condition holds."""
        parts = [self._entry(name, wanted) for name, wanted in condition.items()]
        return " and ".join(parts) if parts else "True"

    def _entry(self, name: str, wanted: Any) -> str:
        if name == "all":
            return "(" + " and ".join(f"({self.expression(one)})" for one in wanted) + ")"
        if name == "any":
            return "(" + " or ".join(f"({self.expression(one)})" for one in wanted) + ")"
        if name == "not":
            return f"(not ({self.expression(wanted)}))"
        if not isinstance(wanted, dict):
            return self._equal(name, wanted)
        return "(" + " and ".join(self._operator(name, op, operand) for op, operand in wanted.items()) + ")"

    def _equal(self, path: str, operand: Any) -> str:
        if isinstance(operand, bool):
            return f"({self.view(path)} is {operand!r})"
        if isinstance(operand, str):
            return f"({self.view(path)} == {operand!r})"
        return f"({self.view(path, 'n')} == {operand!r})"

    def _operator(self, path: str, op: str, operand: Any) -> str:
        match op:
            case "eq":
                return self._equal(path, operand)
            case "ne":
                return f"(not {self._equal(path, operand)})"
            case "in":
                return self._member(path, operand)
            case "not_in":
                return f"(not {self._member(path, operand)})"
            case "exists":
                return f"({self.view(path)} is {'not ' if operand else ''}None)"
            case "contains":
                return f"contains({self.view(path)}, {operand!r})"
            case "starts_with":
                text = self.view(path, "s")
                return f"({text} is not None and {text}.startswith({operand!r}))"
            case "matches":
                text = self.view(path, "s")
                return f"({text} is not None and {self.constant(_finder(operand))}({text}))"
        sign = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}[op]
        if isinstance(operand, str):
            text = self.view(path, "s")
            return f"({text} is not None and {text} {sign} {operand!r})"
        return f"({self.view(path, 'n')} {sign} {operand!r})"

    def _member(self, path: str, operands: list[Any]) -> str:
        texts = frozenset(value for value in operands if isinstance(value, str))
        truths = [value for value in operands if isinstance(value, bool)]
        numbers = frozenset(v for v in operands if not isinstance(v, str | bool))
        parts = [f"{self.view(path)} is {truth!r}" for truth in dict.fromkeys(truths)]
        if texts:
            parts.append(f"{self.view(path, 's')} in {self.constant(texts)}")
        if numbers:
            parts.append(f"{self.view(path, 'n')} in {self.constant(numbers)}")
        return "(" + " or ".join(parts) + ")"


def _lookup(path: str) -> str:
    root, *names = path.split(".")
    if root in ("type", "source"):
        return f"e.{root} if e is not None else None"
    rest = "".join(f", {name!r}" for name in names[1:])
    if root == "data":
        first = f"data.get({names[0]!r})"
        return f"dig({first}{rest})" if rest else first
    if root == "trigger":
        return f"dig(trigger, {', '.join(map(repr, names))})"
    if (root, names[0]) == ("account", "tier"):
        return "tier" if not rest else "None"
    variable = "p" if root == "account" else "c"
    return _attribute(variable, names, rest)


def _attribute(variable: str, names: list[str], rest: str) -> str:
    field = names[0]
    if not re.fullmatch("[a-z_]+", field):
        raise ConditionError(f"no field {field}")
    if field == "owner":
        owner = f"{variable}.owner if {variable} is not None else None"
        if len(names) == 2 and names[1] in ("name", "email"):
            return f"getattr({owner}, {names[1]!r}, None)"
        return "None"
    if field == "attributes" and len(names) == 2:
        return f"{variable}.attributes.get({names[1]!r}) if {variable} is not None else None"
    value = f"{variable}.{field} if {variable} is not None else None"
    return f"dig({value}{rest})" if rest else value


_EMPTY: dict[str, Any] = {}


def _data_of(event: Event | None) -> dict[str, Any]:
    return event.data if event is not None and type(event.data) is dict else _EMPTY


def _assemble(emitter: Emitter, expression: str) -> Callable[[Scope], Any]:
    lines = ["def made(scope):", " e = scope.event; p = scope.profile; c = scope.contact"]
    lines += [" tier = scope.tier; trigger = scope.trigger; data = data_of(e)"]
    lines += [f" {line}" for line in emitter.prelude()]
    lines += [f" return {expression}"]
    made: Callable[[Scope], Any] = build("\n".join(lines), {**emitter.env, "data_of": _data_of}, "made")
    return made


def build(source: str, env: dict[str, Any], name: str) -> Any:
    """The function `name` that `source` defines, with `env` as its globals."""
    namespace = dict(env)
    exec(compile(source, "<generated>", "exec"), namespace)  # noqa: S102 - our own code; users' texts only by repr
    return namespace[name]


def function_of(condition: Mapping[str, Any]) -> Callable[[Scope], bool]:
    """The function of a plain (checked) condition."""
    emitter = Emitter()
    expression = emitter.expression(condition)
    made: Callable[[Scope], bool] = _assemble(emitter, f"bool({expression})")
    return made


def getter_of(path: str) -> Callable[[Scope], Any]:
    """A function that looks a path up; raises `ConditionError` for an unknown one."""
    check_path(path)
    emitter = Emitter()
    return _assemble(emitter, emitter.view(path))
