"""`touchline apply`: brings rules, playbooks and other documents from files to a server (contract, section 10).

All or nothing: everything is checked first, references included. If the server refuses a document all the
same, those written before it are put back. `--prune` deletes last, when everything else has worked.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from backbone.settings import variables
from services.cli.apply_checks import check, check_together, dangling, differ, problems
from services.cli.apply_plan import Plan, PlannedChange
from services.cli.client import ApiError, Client
from services.cli.documents import Document, FileProblem, FileProblems, find, load
from services.cli.server_documents import CHECKED_SECRETS, PATHS, address, as_filed, everything, label
from services.cli.terminal import agreed, err, out

_STYLE = {"created": "green", "updated": "yellow", "unchanged": "dim", "deleted": "red"}
_NAMED = 10  # names shown of each kind that only the server has, unless all are asked for


def apply(paths: Sequence[Path], *, dry_run: bool = False, yes: bool = False, prune: bool = False) -> int:
    """Bring the server to what the files say. Returns the exit status. Errors go to standard error."""
    files = find(paths)
    if not files:
        err.print(f"no YAML files under {', '.join(map(str, paths))}", style="red", markup=False)
        return 1
    try:
        documents = load(files, variables())
        if not documents:
            raise FileProblems([FileProblem(file, 1, "holds no document") for file in files])
        client = Client()
        plan = Plan(documents, everything(client, _wanted(documents, prune=prune)), prune=prune)
        plan.compare_secrets(partial(differ, client))
        _check(client, plan, everything_told=dry_run)
        if dry_run:
            _preview(plan)
            return 0
        if not agreed(plan.questions(), yes=yes):
            err.print("nothing was applied", style="bold red")
            return 1
        _write(client, plan.changes)
    except FileProblems as error:
        _tell(error.problems)
        err.print(f"nothing was applied: {len(error.problems)} problem(s)", style="bold red")
        return 1
    left = _delete(client, plan) if prune else []
    _conclude(plan, deleted=len(plan.alone) - len(left) if prune else 0)
    _tell(left)
    return 1 if left else 0


def _wanted(documents: Sequence[Document], *, prune: bool) -> set[str]:
    """The kinds to read from the server: those of the files, those they refer to, and those that may be deleted."""
    wanted = {document.kind for document in documents}
    if "playbook" in wanted:
        wanted |= {"template", "endpoint"}
    if "policy" in wanted:
        wanted |= {"playbook"}
    return wanted | set(PATHS) if prune else wanted


def _tell(found: Sequence[object]) -> None:
    for problem in found:
        err.print(str(problem), style="red", markup=False)


def _check(client: Client, plan: Plan, *, everything_told: bool) -> None:
    """Raises `FileProblems` with all that the server would refuse; prints the warnings."""
    documents = [change.document for change in plan.changes]
    changed = [change.document for change in plan.changes if change.word != "unchanged"]
    concerned = documents if everything_told else changed
    refused, doubts = check(client, concerned)
    refused += dangling(documents, plan.held, plan.alone if plan.prune else ())
    if refused:
        raise FileProblems(refused)
    for doubt in doubts + check_together(documents, concerned, plan.kept()):
        err.print(f"warning: {doubt}", style="yellow", markup=False)


def _preview(plan: Plan) -> None:
    for change in plan.changes:
        _say(change.word, change.label, change.turn())
        if change.word != "unchanged":
            out.print(change.difference(), markup=False)
    for kind, name in plan.alone if plan.prune else ():
        _say("deleted", label(kind, name))
    _conclude(plan, deleted=len(plan.alone) if plan.prune else 0)
    for step in plan.questions():
        out.print(f"would ask: {step}", markup=False)
    out.print("dry run: nothing was applied")


def _conclude(plan: Plan, *, deleted: int) -> None:
    """Print what only the server has, and the summary."""
    if not plan.prune and plan.alone:
        out.print("on the server, and in none of these files (--prune deletes them):")
        for kind in dict.fromkeys(kind for kind, _ in plan.alone):
            names = [name for one, name in plan.alone if one == kind]
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            out.print(f"  {kind}: {', '.join(names[:_NAMED])}{more}", markup=False)
    for why in dict.fromkeys(plan.unseen.values()):
        kinds = ", ".join(kind for kind, reason in plan.unseen.items() if reason == why)
        out.print(f"not looked at: {kinds} ({why})", markup=False)
    out.print(plan.summary(deleted=deleted), markup=False)


def _write(client: Client, changes: Sequence[PlannedChange]) -> None:
    done: list[PlannedChange] = []
    for change in changes:
        if change.word != "unchanged":
            try:
                _put(client, change)
            except ApiError as error:
                raise FileProblems([*problems(change.document, error), *_put_back(client, done)]) from None
            done.append(change)
        _say(change.word, change.label, change.turn())


def _put(client: Client, change: PlannedChange) -> None:
    document = change.document
    path = address(document.kind, document.name)
    answer = client.call("PUT", path, document.body, builds_on=change.before) or {}
    if "secret" in answer and "secret" not in document.body:
        out.print(f"the secret of {change.label}, shown this once: {answer['secret']}", markup=False)


def _put_back(client: Client, done: Sequence[PlannedChange]) -> list[FileProblem]:
    """Undo what was written. Returns what could not be undone."""
    left: list[FileProblem] = []
    for change in reversed(done):
        kind, name = change.document.kind, change.document.name
        try:
            if change.before is not None and kind in CHECKED_SECRETS:  # with the secrets that it had
                version = change.before["version"]
                client.call("POST", f"{address(kind, name)}/versions/{version}/publish")
            elif change.before is not None:
                client.call("PUT", address(kind, name), as_filed(kind, change.before))
            elif change.can_be_deleted:
                client.call("DELETE", address(kind, name))
        except ApiError as error:
            left.append(change.document.problem("", f"was applied and cannot be put back: {error}"))
    return left


def _delete(client: Client, plan: Plan) -> list[str]:
    """Delete what only the server has. Returns what could not be deleted, and why."""
    left = []
    for kind, name in plan.alone:
        try:
            client.call("DELETE", address(kind, name), builds_on=plan.held[kind, name])
        except ApiError as error:
            left.append(f"{label(kind, name)} was not deleted: {error}")
        else:
            _say("deleted", label(kind, name))
    return left


def _say(word: str, what: str, turn: str = "") -> None:
    out.print(f"[{_STYLE[word]}]{word:9}[/] {what}{f' ({turn})' if turn else ''}")
