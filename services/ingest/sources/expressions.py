"""Evaluates the expressions of a source over one body, within a budget.

JMESPath has no loops, but it has projections: `body().a[?body().a[?…]]` takes the body's size to the power of its
nesting, `[@, @] | [@, @] | …` doubles with each step, and neither is long. So every step of the evaluation costs
something, and so does everything that takes longer than a step: copying, flattening and comparing lists, texts in
lower case. When the budget is spent, the whole request is refused.
"""

from collections.abc import Mapping
from typing import Any

from jmespath.visitor import Options, TreeInterpreter

from schemas.source_expressions import Node
from services.ingest.sources.money import minor_units

STEPS, STEPS_A_BYTE, MOST_STEPS = 50_000, 10, 500_000  # half a microsecond each
CHARS_A_STEP = 256  # copied or compared within one step


class TooCostly(ValueError):
    """The expressions take too many steps for this body."""

    def __init__(self) -> None:
        super().__init__("the source's expressions take too many steps for this body")


class Evaluator(TreeInterpreter):  # type: ignore[misc]
    """Evaluates any number of expressions over one body; `headers` with names in lower case."""

    def __init__(self, body: Any, headers: Mapping[str, str], size: int) -> None:
        super().__init__(Options(custom_functions=self))
        self.left = min(STEPS + STEPS_A_BYTE * size, MOST_STEPS)
        self._body = body
        self._headers = headers

    def value(self, tree: Node, element: Any) -> Any:
        """The value of an expression for an element. Raises `TooCostly`."""
        return self.visit(tree, element)

    def holds(self, tree: Node, element: Any) -> bool:
        """Whether an expression is true for an element, in JMESPath's sense."""
        return bool(self._is_true(self.visit(tree, element)))

    def spend(self, steps: int) -> None:
        """Take these steps off the budget. Raises `TooCostly`."""
        self.left -= steps
        if self.left < 0:
            raise TooCostly

    def visit(self, node: Node, value: Any) -> Any:
        """One step."""
        self.left -= 1
        if self.left < 0:
            raise TooCostly
        return _VISIT[node["type"]](self, node, value)

    def visit_flatten(self, node: Node, value: Any) -> Any:
        """Costs as many steps as the result has elements."""
        base = self.visit(node["children"][0], value)
        if not isinstance(base, list):
            return None
        flat: list[Any] = []
        for element in base:
            part = element if isinstance(element, list) else [element]
            self.spend(len(part))
            flat += part
        return flat

    def visit_comparator(self, node: Node, value: Any) -> Any:
        """As JMESPath's, but null where a text is compared with a number by order."""
        left, right = (self.visit(child, value) for child in node["children"])
        self._spend_on(left, right)
        if node["value"] in self._EQUALITY_OPS:
            return bool(self.COMPARATOR_FUNC[node["value"]](left, right))
        numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (left, right))
        texts = isinstance(left, str) and isinstance(right, str)
        return self.COMPARATOR_FUNC[node["value"]](left, right) if numbers or texts else None

    def _spend_on(self, left: Any, right: Any) -> None:
        """What a comparison costs: the size of the smaller side, as far as both are of one kind."""
        if isinstance(left, str) and isinstance(right, str):
            self.spend(min(len(left), len(right)) // CHARS_A_STEP)
        elif isinstance(left, list | dict) and type(left) is type(right) and len(left) == len(right):
            inner = [left]
            while inner:
                each = inner.pop()
                values = each.values() if isinstance(each, dict) else each
                self.spend(len(each))
                for one in values:
                    if isinstance(one, list | dict):
                        inner.append(one)
                    elif isinstance(one, str):
                        self.spend(len(one) // CHARS_A_STEP)

    def call_function(self, name: str, given: list[Any]) -> Any:
        """One of the functions of `schemas.source_expressions`; null for values that it does not take."""
        match name, given:
            case "body", []:
                return self._body
            case "header", [str() as text]:
                return self._headers.get(text.lower()) if len(text) <= CHARS_A_STEP else None
            case "lower", [str() as text]:
                self.spend(len(text) // CHARS_A_STEP)
                return text.lower()
            case "minor_units", [amount, currency]:
                return minor_units(amount, currency)
            case "object", [key, value] if isinstance(key, str) or type(key) is int:
                return {str(key): value}
            case "domain_of", [str() as text]:
                return domain_of(text)
        return None


_VISIT = {
    name.removeprefix("visit_"): getattr(Evaluator, name) for name in dir(Evaluator) if name[:6] == "visit_"
}


def domain_of(text: str) -> str | None:
    """The domain of one address, such as `ann@acme.test` or `Ann <ann@acme.test>`, in lower case; None for all else."""
    if len(text) > 1_000:
        return None
    text = text.strip()
    if text.endswith(">"):
        text = text[:-1].rpartition("<")[2]
    local, at, domain = text.rpartition("@")
    return domain.strip().lower() or None if at and local and "@" not in local else None
