"""docs/fast-path.md prints the function that is generated for the rules it prints, and names the door as it is."""

import ast
import json
import re
from pathlib import Path

import pytest

from schemas.rule import TiersDoc
from services.rules.engine.fastpath.codegen import handler_source
from services.rules.engine.ruleset import compile_rules
from tests.unit.engine.world import TECH, rule

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/fast-path.md").read_text()
FOLDER = ROOT / "services/rules/engine/fastpath"
PACKAGE = "services.rules.engine.fastpath"


def block(beginning: str) -> str:
    """The page's one block of code that begins so."""
    [found] = re.findall(rf"^```\w+\n({re.escape(beginning)}.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_printed_function_is_the_generated_one() -> None:
    documents = json.loads(block("["))
    rules = [rule(document.pop("when"), **document) for document in documents]
    made = compile_rules(1, rules, TiersDoc.model_validate(TECH))
    assert block("def handler") == handler_source(made.listeners("export"), made.layout)


def imported() -> set[str]:
    """`module.name` for all that files outside the room import from it."""
    found = set()
    for path in (ROOT / "services").rglob("*.py"):
        if FOLDER in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
                found |= {f"{node.module}.{alias.name}".removeprefix(f"{PACKAGE}.") for alias in node.names}
    return found


def test_the_door_is_what_the_engine_imports() -> None:
    told = ast.get_docstring(ast.parse((FOLDER / "__init__.py").read_text())) or ""
    listed = told.partition("\n- ")[2].partition("\n\n")[0]
    parts = [part.split(":") for part in listed.split("\n- ")]
    door = {
        f"{module.strip('`')}.{name}" for module, names in parts for name in re.findall(r"`(\w+)`", names)
    }
    assert imported() == door


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_every_function_says_what_it_does(path: Path) -> None:
    silent = [
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and node.name != "__init__"
        and ast.get_docstring(node) is None
    ]
    assert silent == []
