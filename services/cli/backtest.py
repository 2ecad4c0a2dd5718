"""`touchline backtest`: what rules that are only files would have done over the server's log.

Each rule in the files is backtested, as it stands there, with the tiers of the files if they have some. Then its
playbook is rehearsed over the triggers that were found: see `services.cli.rehearsal`.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

from schemas.sentences.documents import sentence_of
from services.cli.backtest_chart import draw
from services.cli.client import ApiError, Client
from services.cli.documents import Document, FileProblem, FileProblems, find, load
from services.cli.long_jobs import Refused, ended
from services.cli.rehearsal import rehearse
from services.cli.rehearsal_shown import draw_rehearsal
from services.cli.terminal import Terminal

PATH = "/v1/backtests"
SHOWN = 10_000  # triggers that are fetched of each rule, the earliest; as many as a rehearsal takes
JSON = dict[str, Any]

out = Terminal(highlight=False)
err = Terminal(stderr=True, highlight=False)


@dataclass
class Found:
    """A rule of the files, its backtests (one for each path that is varied), and its earliest triggers."""

    rule: Document
    answers: list[JSON] = field(default_factory=list)
    triggers: list[JSON] = field(default_factory=list)


@dataclass(frozen=True)
class Wish:
    """What is asked of every rule."""

    begin: str | None
    end: str | None
    vary: dict[str, list[Any]]
    against: str | None


def backtest(
    paths: Sequence[Path],
    *,
    begin: str | None,
    end: str | None,
    vary: Sequence[str],
    against: str | None,
    as_json: bool,
) -> int:
    """Backtest every rule under the paths. Exit status 2: a file is wrong; 1: anything else is."""
    try:
        documents = load(find(paths))
        if not any(document.kind == "rule" for document in documents):
            raise FileProblems([FileProblem(path, 1, "there is no rule in it") for path in paths[:1]])
        wish = Wish(begin, end, _varied(vary), against)
        client = Client()
        found = run(client, documents, wish)
        with _bar() as bar:
            rehearsals = rehearse(client, bar, documents, [one.triggers for one in found])
    except FileProblems as error:
        for problem in error.problems:
            err.print(f"[red]error[/] {escape(str(problem))}", soft_wrap=True)
        return 2
    if as_json:
        answers = [answer for one in found for answer in one.answers]
        print(json.dumps({"backtests": answers, "rehearsals": rehearsals}, ensure_ascii=False, indent=2))
    else:
        for one in found:
            draw(out, one.answers, one.triggers, says=_says(one.rule))
        for rehearsal in rehearsals:
            draw_rehearsal(out, rehearsal)
    return 0


def _says(rule: Document) -> str | None:
    return sentence_of("rule", rule.name, rule.body)


def run(client: Client, documents: Sequence[Document], wish: Wish) -> list[Found]:
    """The backtests of every rule, one after the other. Raises `FileProblems` and `TouchlineError`."""
    tiers = next((document.body["tiers"] for document in documents if document.kind == "tiers"), None)
    found = []
    with _bar() as bar:
        for document in documents:
            if document.kind == "rule":
                one = Found(document)
                varied: list[JSON | None] = [{path: values} for path, values in wish.vary.items()]
                for vary in varied or [None]:
                    one.answers.append(_ended(client, bar, document, _body(document, wish, vary, tiers)))
                one.triggers = _triggers(client, one.answers[0]["id"])
                found.append(one)
    return found


def _body(document: Document, wish: Wish, vary: JSON | None, tiers: Any) -> JSON:
    given = {"from": wish.begin, "to": wish.end, "vary": vary, "against": wish.against, "tiers": tiers}
    return {"rule": document.body, **{name: value for name, value in given.items() if value is not None}}


def _varied(given: Sequence[str]) -> dict[str, list[Any]]:
    """`PATH=VALUE,…` of each option, the values in YAML; those of one path go together."""
    found: dict[str, list[Any]] = {}
    for text in given:
        path, equals, values = text.partition("=")
        try:
            read = yaml.safe_load(f"[{values}]")
        except yaml.YAMLError:
            read = None
        if not path or not equals or not read:
            raise Refused(
                f"--vary {text}: should be PATH=VALUE,… with values in YAML, such as cooldown=1d,7d"
            )
        found.setdefault(path, []).extend(read)
    return found


def _ended(client: Client, bar: Progress, document: Document, body: JSON) -> JSON:
    """A backtest once it has ended. Raises `FileProblems` where the rule is refused."""
    try:
        return ended(client, bar, PATH, body, document.name, "backtest")
    except ApiError as error:
        inside = [wrong for wrong in error.errors if wrong["field"].startswith("rule.")]
        if not inside:
            raise
        raise FileProblems(
            [document.problem(wrong["field"].removeprefix("rule."), wrong["message"]) for wrong in inside]
        ) from None


def _triggers(client: Client, job: str) -> list[JSON]:
    found: list[JSON] = []
    for trigger in client.items(f"{PATH}/{job}/triggers"):
        found.append(trigger)
        if len(found) == SHOWN:
            break
    return found


@contextmanager
def _bar() -> Iterator[Progress]:
    """A bar on a terminal, nothing elsewhere."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
    )
    with Progress(*columns, console=err, transient=True, disable=not sys.stderr.isatty()) as bar:
        yield bar
