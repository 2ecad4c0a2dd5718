"""The expressions of sources: JMESPath with a few functions of our own and none of its own, checked at a save.

What an expression may cost when it runs is bounded where it runs: `services/ingest/sources/expressions.py`.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Any

import jmespath
from jmespath.exceptions import JMESPathError, LexerError, ParseError
from pydantic import AfterValidator, Field

from schemas.fields import invalid

FUNCTIONS = {
    "body": 0,
    "header": 1,
    "lower": 1,
    "minor_units": 2,
    "object": 2,
    "domain_of": 1,
}  # their arguments
MAX_EXPRESSION = 2_000  # characters
MAX_NODES = 500  # of the tree that an expression becomes
MAX_NESTING = 60
_PATHS = {
    "subexpression",
    "projection",
    "value_projection",
    "filter_projection",
    "flatten",
    "index_expression",
}
Node = dict[str, Any]  # of jmespath's tree: `type`, `children`, `value`


class BadExpression(ValueError):
    """An expression that is refused, and why."""


@lru_cache(256)  # a tree may take 150 KB
def parsed(text: str) -> Node:
    """The tree of an expression. Raises `BadExpression`."""
    if len(text) > MAX_EXPRESSION:
        raise BadExpression(f"may have {MAX_EXPRESSION:,} characters")
    try:
        tree: Node = jmespath.compile(text).parsed
    except RecursionError:
        raise BadExpression(f"may nest {MAX_NESTING} deep") from None
    except (JMESPathError, ValueError) as error:
        raise BadExpression(f"is no JMESPath: {_told(error)}") from None
    for count, (node, depth) in enumerate(_nodes(tree)):
        if depth > MAX_NESTING:
            raise BadExpression(f"may nest {MAX_NESTING} deep")
        if count >= MAX_NODES:
            raise BadExpression(f"may have {MAX_NODES} parts")
        _check(node)
    return tree


def _told(error: Exception) -> str:
    if isinstance(error, LexerError):
        return f"{error.message} at column {error.lexer_position + 1}"
    if isinstance(error, ParseError):
        return f"{error.msg[:1].lower()}{error.msg[1:]} at column {error.lex_position + 1}"
    return str(error).partition("\n")[0]


def _nodes(tree: Node) -> Iterator[tuple[Node, int]]:
    left = [(tree, 1)]
    while left:
        node, depth = left.pop()
        yield node, depth
        left += [(child, depth + 1) for child in node.get("children", ()) if isinstance(child, dict)]


def _check(node: Node) -> None:
    if node["type"] == "expref":
        raise BadExpression("may not have &: no function here takes an expression")
    if node["type"] in _PATHS and node["children"] and node["children"][0].get("type") == "not_expression":
        raise BadExpression("has ! before a path, where it binds to its first name alone: write !(a.b)")
    if node["type"] == "slice" and node["children"][2] == 0:
        raise BadExpression("has a slice with a step of 0")
    if node["type"] != "function_expression":
        return
    name, given = node["value"], len(node["children"])
    if name not in FUNCTIONS:
        allowed = ", ".join(f"{one}()" for one in FUNCTIONS)
        raise BadExpression(f"has no function {name[:60]}(); allowed: {allowed}")
    if given != FUNCTIONS[name]:
        raise BadExpression(f"{name}() takes {FUNCTIONS[name]} values, not {given}")


def _checked(text: str) -> str:
    try:
        parsed(text)
    except BadExpression as error:
        raise invalid("{why}", why=str(error)) from None
    return text


Expression = Annotated[
    str, Field(strict=True, min_length=1, max_length=MAX_EXPRESSION), AfterValidator(_checked)
]
