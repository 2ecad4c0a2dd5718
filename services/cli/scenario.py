"""`touchline test`: runs scenarios on the production engine and interpreter, in memory, on the log clock.

An event goes through the same `PartitionEngine` and `PlaysPartition` as on a server; only the log, the
database and the channels are missing. Touchline's own events follow the event that caused them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from rich.markup import escape
from rich.table import Table

from backbone.errors import Invalid
from backbone.web.validation import validate
from backbone.yaml.reading import Located, YamlError, read_yaml
from schemas.account import AccountIn
from schemas.event import Event
from schemas.scenario import ByHand, Scenario
from schemas.sentences.rules import of_trigger as sentence_of
from schemas.trigger import Trigger
from services.actions.plays.model import DraftRendering
from services.actions.rendering.draft_renderer import DraftRenderer
from services.actions.rendering.renderer import RenderPool as Pool
from services.cli.comparing import Difference, compare
from services.cli.documents import TEST_SUFFIX, Document, FileProblem, FileProblems, find, load
from services.cli.scenario_by_hand import do
from services.cli.scenario_feedback import take_back
from services.cli.scenario_shown import shown_play
from services.cli.scenario_why import of_action, of_trigger
from services.cli.scenario_world import World, course
from services.cli.source_scenario import are_of_sources, run_sources
from services.cli.terminal import Terminal

MAX_EVENTS = 1_000_000
SENDER: dict[str, str | None] = {"name": "Touchline", "email": "touchline@touchline.test"}

console = Terminal(highlight=False)


def test(paths: Sequence[Path]) -> int:
    """Run every scenario under the paths; 0 if all hold, 1 if one does not, 2 if a file cannot be read as a test."""
    files = find(paths, tests=True)
    if not files:
        console.print(
            f"no *{TEST_SUFFIX} under {escape(', '.join(map(str, paths)))}", style="red", soft_wrap=True
        )
        return 2
    failed = unreadable = 0
    with renderer() as render:
        for file in files:
            try:
                differences = run(file, render)
            except FileProblems as error:
                unreadable += 1
                for problem in error.problems:
                    console.print(f"[red]error[/]   {escape(str(problem))}", soft_wrap=True)
                continue
            failed += bool(differences)
            word = "[red]failed[/] " if differences else "[green]passed[/] "
            console.print(f"{word} {escape(str(file))}", soft_wrap=True)
            for difference in differences:
                _show(difference)
    passed = len(files) - failed - unreadable
    console.print(f"{passed} passed, {failed} failed" + (f", {unreadable} unreadable" if unreadable else ""))
    return 2 if unreadable else 1 if failed else 0


@contextmanager
def renderer() -> Iterator[DraftRendering]:
    """The production renderer; links to unsubscribe lead nowhere."""
    pool = Pool(workers=1)
    try:
        yield DraftRenderer(pool, SENDER, lambda _: "https://touchline.test/u/test")
    finally:
        pool.close()


def run(file: Path, render: DraftRendering | None) -> list[Difference]:
    """Run one scenario, or the tests of a source. Returns what differs from the expectations.

    Raises `FileProblems` for a file that is no test.
    """
    located = _read(file)
    if are_of_sources(located):
        return run_sources(located)
    scenario = _scenario(file, located)
    return play(scenario, documents_of(file, scenario), render)


def documents_of(file: Path, scenario: Scenario) -> list[Document]:
    """The documents that a scenario loads, and those in it. Raises `FileProblems`."""
    loaded = find([file.parent / name for name in scenario.load])
    within = read_yaml(file)[0] if scenario.documents else None
    beside = [] if within is None else map(partial(within.inner, "documents"), range(len(scenario.documents)))
    return load(loaded, beside=beside)


def read_scenario(file: Path) -> Scenario:
    """The scenario in a file. Raises `FileProblems`."""
    return _scenario(file, _read(file))


def _read(file: Path) -> list[Located]:
    try:
        return read_yaml(file)
    except YamlError as error:
        raise FileProblems([FileProblem(error.path, error.line, error.message)]) from None


def _scenario(file: Path, located: Sequence[Located]) -> Scenario:
    if len(located) != 1:
        raise FileProblems([FileProblem(file, 1, f"should hold one test, not {len(located)}")])
    item = located[0]
    try:
        scenario = validate(Scenario, item.value)
    except Invalid as error:
        raise FileProblems(
            [FileProblem(file, item.line(e["field"]), f"{e['field']}: {e['message']}") for e in error.errors]
        ) from None
    problems = [
        FileProblem(file, item.line(f"load.{place}"), f"load.{place}: there is no file {name}")
        for place, name in enumerate(scenario.load)
        if not (file.parent / name).exists()
    ]
    problems += _wrong_accounts(file, item.line, scenario)
    problems += [
        FileProblem(file, item.line(f"events.{place}"), f"events.{place}.every: is needed with repeat")
        for place, event in enumerate(scenario.events)
        if event.repeat > 1 and event.every is None
    ]
    if problems:
        raise FileProblems(problems)
    return scenario


def _wrong_accounts(file: Path, line: Any, scenario: Scenario) -> list[FileProblem]:
    problems = []
    for name, body in scenario.accounts.items():
        try:
            validate(AccountIn, body or {})
        except Invalid as error:
            for wrong in error.errors:
                where = f"accounts.{name}.{wrong['field']}"
                problems.append(FileProblem(file, line(where), f"{where}: {wrong['message']}"))
    return problems


def play(
    scenario: Scenario, documents: Sequence[Document], render: DraftRendering | None
) -> list[Difference]:
    """Run a scenario against documents. Returns what differs from its expectations."""
    world, steps = World(documents, render, scenario.limit), course(scenario)
    events = [one for one in steps if isinstance(one, Event)]
    differences = []
    for one in steps:
        if isinstance(one, Event):
            world.feed(one)
            continue
        what, wrong = (
            ("by_hand", do(world, one)) if isinstance(one, ByHand) else ("feedback", take_back(world, one))
        )
        if wrong is not None:
            differences.append(
                Difference(what, [one.model_dump(mode="json", exclude_unset=True)], [], [wrong])
            )
    if scenario.expect.triggers is not None:
        got = [_trigger(world, trigger) for trigger in world.triggers]
        missing, unexpected = compare(scenario.expect.triggers, got)
        if missing or unexpected:
            why = [text for one in missing if (text := of_trigger(documents, events, one))]
            differences.append(Difference("triggers", missing, unexpected, why))
    if scenario.expect.actions is not None:
        missing, unexpected = compare_actions(
            scenario.expect.actions, [world.shown(one) for one in world.store.actions.values()]
        )
        if missing or unexpected:
            why = list(dict.fromkeys(text for one in missing for text in of_action(world.store, one)))
            differences.append(Difference("actions", missing, unexpected, why))
    differences += [one for one in (_plays(scenario, world), _impact(scenario, world)) if one is not None]
    return differences


def _plays(scenario: Scenario, world: World) -> Difference | None:
    if scenario.expect.plays is None:
        return None
    missing, unexpected = compare(
        scenario.expect.plays, [shown_play(one) for one in world.store.plays.values()]
    )
    unexpected = [one for one in unexpected if one["status"] != "skipped"]
    return Difference("plays", missing, unexpected) if missing or unexpected else None


def _impact(scenario: Scenario, world: World) -> Difference | None:
    if scenario.expect.impact is None:
        return None
    missing, unexpected = compare(scenario.expect.impact, world.impact())
    return Difference("impact", missing, unexpected) if missing or unexpected else None


def compare_actions(
    expected: Sequence[dict[str, Any]], got: Sequence[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """As `compare`. An entry without a status means an action that was carried out; skipped actions, and
    mails that wait, may be left out."""
    wanted = [entry if "status" in entry else {**entry, "status": "done"} for entry in expected]
    missing, unexpected = compare(wanted, got)
    return missing, [item for item in unexpected if item["status"] not in {"skipped", "pending"}]


def _trigger(world: World, trigger: Trigger) -> dict[str, Any]:
    rule = world.ruleset.by_name.get(trigger.rule)
    shown = _builtins(trigger)
    return {**shown, "sentence": sentence_of(shown, None if rule is None else rule.doc)}


def _builtins(struct: Any) -> dict[str, Any]:
    result: dict[str, Any] = msgspec.to_builtins(struct)
    return result


def _show(difference: Difference) -> None:
    table = Table(title=f"  {difference.what}", title_justify="left", show_lines=True)
    table.add_column("expected, did not come", style="red", ratio=1)
    table.add_column("came, not expected", style="yellow", ratio=1)
    shown = {key for entry in difference.missing for key in entry} or {
        "rule",
        "account",
        "contact",
        "type",
        "id",
        "time",
        "data",
        "channel",
        "at",
        "step",
        "playbook",
        "status",
        "verdict",
    }
    rows = max(len(difference.missing), len(difference.unexpected))
    for place in range(rows):
        left = _lines(difference.missing[place]) if place < len(difference.missing) else ""
        right = ""
        if place < len(difference.unexpected):
            item = difference.unexpected[place]
            right = _lines(
                {
                    key: value
                    for key, value in item.items()
                    if key in shown or key in {"tier", "reason", "sentence"}
                }
            )
        table.add_row(escape(left), escape(right))
    console.print(table)
    for text in difference.why:
        console.print(f"  why: {escape(text)}", soft_wrap=True)


def _lines(entry: dict[str, Any]) -> str:
    return "\n".join(f"{key}: {value}" for key, value in entry.items() if value is not None)
