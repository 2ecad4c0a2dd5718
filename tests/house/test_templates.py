"""Templates are compiled and run in the render process alone, which has limits of time and memory; elsewhere they are
parsed at most. Jinja2's compiler works out what is constant: `'a' * 10 ** 10` took a whole service down."""

from __future__ import annotations

import ast

import pytest

from tests.house.tree import name_of, parsed, python_files

RENDER_PROCESS = "services/actions/rendering/"
OUR_OWN = "services/console/render.py"  # loads templates that lie beside it, and makes none of a text
PARSING = {"Environment", "TemplateSyntaxError", "nodes"}
COMPILING = {"as_const", "compile", "compile_expression", "from_string", "get_template"}


def compiles(tree: ast.Module) -> list[str]:
    """What a module takes from Jinja2 beyond parsing; nothing of one that does not import it."""
    taken = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and _of_jinja(node.module)]
    whole = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names = [alias.name for node in taken for alias in node.names] + [one for one in whole if _of_jinja(one)]
    if not names:
        return []
    asked = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return [*(one for one in names if one not in PARSING), *(one for one in asked if one in COMPILING)]


def _of_jinja(module: str | None) -> bool:
    return (module or "").partition(".")[0] == "jinja2"


def test_only_the_render_process_compiles_templates() -> None:
    found = {
        name: taken
        for path in python_files("schemas", "backbone", "services")
        if not (name := name_of(path)).startswith(RENDER_PROCESS) and (taken := compiles(parsed(path)))
    }
    taken = set(found.pop(OUR_OWN))
    assert found == {}
    assert taken.isdisjoint({"as_const", "compile", "compile_expression", "from_string", "DictLoader"})


@pytest.mark.parametrize(
    "source",
    [
        "from jinja2 import meta",
        "from jinja2.meta import find_undeclared_variables",
        "import jinja2.meta",
        "from jinja2 import Environment; Environment().from_string('x')",
        "from jinja2 import nodes; node.as_const()",
    ],
)
def test_the_check_itself_sees_it(source: str) -> None:
    assert compiles(ast.parse(source))
    assert not compiles(
        ast.parse("from jinja2 import Environment, nodes; Environment().parse('x').find_all(nodes.Name)")
    )
