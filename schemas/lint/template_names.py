"""Finds the names that a template looks up, from its source, without running it.

The service has no limits of time and memory, as the render process has. So here templates are parsed, never compiled:
Jinja2's compiler, and with it `jinja2.meta`, works out `'a' * 10 ** 10` on the way.
"""

from collections.abc import Iterable, Iterator

from jinja2 import Environment, TemplateSyntaxError, nodes

from schemas.brand import FIELDS as BRAND
from schemas.trigger import Position, Trigger, TriggerEvent

Names = tuple[str, ...]  # ("trigger", "event", "data")

_ACCOUNT = ("attributes", "contacts", "domains", "external_ids", "id", "name", "owner", "tier", "timezone")
_CONTACT = ("active", "attributes", "email", "id", "locale", "name", "phone", "roles", "timezone")
_OWNER = ("email", "name")
# The names that these objects always have; any other name fails when the template is rendered.
FIELDS: dict[Names, frozenset[str]] = {
    ("account",): frozenset(_ACCOUNT),
    ("account", "owner"): frozenset(_OWNER),
    ("contact",): frozenset(_CONTACT),
    ("owner",): frozenset(_OWNER),
    ("brand",): frozenset(BRAND),
    ("action",): frozenset({"id"}),
    ("trigger",): frozenset(Trigger.__struct_fields__) - {"shadow", "scope", "depth"},
    ("trigger", "event"): frozenset(TriggerEvent.__struct_fields__),
    ("trigger", "position"): frozenset(Position.__struct_fields__),
    ("trigger", "window"): frozenset({"from", "to"}),
    ("trigger", "figures"): frozenset({"recent", "baseline"}),
}
_OF_EVERY_OBJECT = frozenset(dir(dict))  # get, items, …
_parser = Environment(autoescape=True)


def names_in(source: str) -> set[Names]:
    """Every chain of names that the template looks up, except for names that it assigns itself.

    Empty for a template that cannot be parsed, which is an error of its own.
    """
    try:
        return _names(_parser.parse(source))[0]
    except (TemplateSyntaxError, RecursionError):
        return set()


def mentions(source: str, names: Names) -> bool:
    """Whether the template looks up this name, or chain of names; True for one that cannot be parsed."""
    try:
        tree = _parser.parse(source)
    except (TemplateSyntaxError, RecursionError):
        return True
    if len(names) == 1:
        return any((node.name,) == names for node in tree.find_all(nodes.Name))
    return names in _names(tree)[0]


def free_names(source: str) -> set[str]:
    """The names that the template takes from its scope; none of one that cannot be parsed."""
    try:
        named = list(_parser.parse(source).find_all(nodes.Name))
    except (TemplateSyntaxError, RecursionError):
        return set()
    return {one.name for one in named} - {one.name for one in named if one.ctx != "load"}


def looked_up(source: str) -> set[Names]:
    """What the template looks up, `attributes.get('plan')` as `attributes.plan`, without what only leads there."""
    try:
        tree = _parser.parse(source)
    except (TemplateSyntaxError, RecursionError):
        return set()
    found = {names for names in _names(tree)[0] if names[-1] != "get"}
    for call in tree.find_all(nodes.Call):
        names = _chain(call.node)
        if names is not None and names[-1] == "get" and call.args and isinstance(call.args[0], nodes.Const):
            found.add((*names[:-1], str(call.args[0].value)))
    return {names for names in found if not any(names == other[: len(names)] for other in found - {names})}


def filters_in(source: str) -> dict[str, bool]:
    """The filters that the template uses, each with whether it is always given an argument."""
    try:
        tree = _parser.parse(source)
    except (TemplateSyntaxError, RecursionError):
        return {}
    found: dict[str, bool] = {}
    for one in tree.find_all(nodes.Filter):
        found[one.name] = found.get(one.name, True) and bool(one.args or one.kwargs)
    return found


def trigger_names(source: str) -> set[str]:
    """The first names that a template looks up in `trigger`, without those that it checks for first.

    `{{ trigger.event.data.invoice }}` gives `event`; `{{ trigger.key or 'yours' }}` gives nothing.
    """
    try:
        found, asked = _names(_parser.parse(source))
    except (TemplateSyntaxError, RecursionError):
        return set()
    return {names[1] for names in found if names[0] == "trigger" and names[:2] not in asked}


def unknown_names(source: str) -> Iterator[tuple[str, frozenset[str]]]:
    """Every name that cannot exist, in full, with those that could: (`trigger.invoice`, {`account`, `at`, …})."""
    for names in sorted(names_in(source)):
        known = FIELDS.get(names[:-1])
        if known is not None and names[-1] not in known | _OF_EVERY_OBJECT:
            yield ".".join(names), known


def _names(tree: nodes.Template) -> tuple[set[Names], set[Names]]:
    """The chains that are looked up, and those among them that the template checks for."""
    own = {node.name for node in tree.find_all(nodes.Name) if node.ctx != "load"}
    chains = (_chain(node) for node in tree.find_all((nodes.Getattr, nodes.Getitem)))
    found = {names for names in chains if names is not None and names[0] not in own}
    return found, {names for node in _questions(tree) if (names := _chain(node)) is not None}


def _chain(node: nodes.Node) -> Names | None:
    """The names of `a.b.c` or `a['b'].c`; None for anything else."""
    names: list[str] = []
    while not isinstance(node, nodes.Name):
        if isinstance(node, nodes.Getattr):
            names.append(node.attr)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
            names.append(str(node.arg.value))
        else:
            return None
        node = node.node
    return (node.name, *reversed(names))


def _questions(tree: nodes.Template) -> Iterator[nodes.Node]:
    """The expressions that the template tests for truth, or gives a default for."""
    for branch in tree.find_all(nodes.If):
        yield from _operands(branch.test)
    for choice in tree.find_all(nodes.CondExpr):
        yield from _operands(choice.test)
    for either in tree.find_all((nodes.Or, nodes.And)):
        yield from _operands(either.left)
    for test in tree.find_all(nodes.Test):
        yield test.node
    for filtered in tree.find_all(nodes.Filter):
        if filtered.name in {"default", "d"} and filtered.node is not None:
            yield filtered.node


def _operands(node: nodes.Node) -> Iterable[nodes.Node]:
    if isinstance(node, nodes.Or | nodes.And):
        return [*_operands(node.left), *_operands(node.right)]
    if isinstance(node, nodes.Not):
        return _operands(node.node)
    return [node.expr] if isinstance(node, nodes.Compare) else [node]
