"""Every stored status is set in one place, so that what is to be counted of all changes can hang there."""

from __future__ import annotations

import ast
import re

import pytest

from tests.house.imports import full_names
from tests.house.tree import SHIPPED, name_of, parsed, python_files

ACTIONS, RULES = "services/actions/storage/status.py", "services/rules/storage/revisions.py"
JOBS = "backbone/jobs/status.py"
SET_IN = {
    "services.actions.tables.plays": ACTIONS,
    "services.actions.tables.actions": ACTIONS,
    "services.actions.tables.tasks": ACTIONS,
    "services.rules.tables.revisions": RULES,
    "backbone.tables.jobs": JOBS,
}
INSERTS = {"insert", "insert_new", "insert_all", "insert_unless_there", "upsert"}
SQL = re.compile(
    r"(insert\s+into|update)\s+(?:\w+\.)?(?:actions_(?:plays|actions|tasks)|rules_revisions|backbone_jobs)\b(.*)",
    re.I | re.S,
)


def setters(tree: ast.Module, tables: frozenset[str] | set[str]) -> list[int]:
    """Lines of statements that insert into these tables, or that may set the column `status` of theirs."""
    named = dict(full_names(tree))
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _sets_in_sql(node.value):
            found.append(node.lineno)
        if not isinstance(node, ast.Call) or not any(named.get(each) in tables for each in node.args):
            continue
        called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if called in INSERTS or (called == "update" and _may_set_status(node, parents)):
            found.append(node.lineno)
    return found


def _may_set_status(update: ast.Call, parents: dict[ast.AST, ast.AST]) -> bool:
    """Unless its `.values(…)` names other columns, each by a keyword."""
    node: ast.AST = update
    while isinstance(parents.get(node), ast.Attribute | ast.Call):
        node = parents[node]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "values":
            return bool(node.args) or any(word.arg in {None, "status"} for word in node.keywords)
    return True


def _sets_in_sql(text: str) -> bool:
    found = SQL.search(text)
    if found is None:
        return False
    changed = re.split(r"\bwhere\b", found[2], maxsplit=1, flags=re.I)[0]
    return found[1].lower() != "update" or re.search(r"\bstatus\s*=", changed) is not None


def test_a_status_is_set_in_one_place() -> None:
    outside = [
        f"{name_of(path)}:{line}"
        for path in python_files(*SHIPPED)
        if "migrations" not in path.parts
        for line in setters(parsed(path), {name for name, place in SET_IN.items() if place != name_of(path)})
        if name_of(path) != ACTIONS
    ]
    assert outside == []


@pytest.mark.parametrize("place", sorted(set(SET_IN.values())))
def test_there_it_is_set(place: str) -> None:
    (path,) = [path for path in python_files(*SHIPPED) if name_of(path) == place]
    assert setters(parsed(path), set(SET_IN))


HEAD = "from services.actions.tables import actions, plays, tasks as kept\n"


@pytest.mark.parametrize(
    "source",
    [
        "conn.execute(insert(plays), rows)",
        "insert_new(conn, actions, rows, ['id'])",
        "conn.execute(update(kept).where(kept.c.id == one).values(status='done', reason=None))",
        "conn.execute(update(kept).where(kept.c.id == one).values(**columns))",
        "conn.execute(update(kept).where(kept.c.id == one).values(columns))",
        "conn.execute(update(plays).where(plays.c.id == bind('b_id')), rows)",
        "Sql('UPDATE actions.actions_actions SET attempting = FALSE, status = ? WHERE id = ?')",
        "text('insert into actions_tasks (id) values (:id)')",
    ],
)
def test_a_statement_that_may_set_one_is_found(source: str) -> None:
    assert setters(ast.parse(HEAD + source), set(SET_IN)) == [2]


@pytest.mark.parametrize(
    "source",
    [
        "conn.execute(update(actions).where(actions.c.status == 'done').values(lease_owner=None))",
        "conn.execute(select(plays.c.status))",
        "conn.execute(insert(attempts), rows)",
        "Sql('UPDATE actions.actions_actions SET lease_until = 0 WHERE status = ?')",
        "Sql('UPDATE actions.actions_attempts SET outcome = ? WHERE action = ?')",
    ],
)
def test_a_statement_that_sets_none_is_not(source: str) -> None:
    assert setters(ast.parse(HEAD + source), set(SET_IN)) == []
