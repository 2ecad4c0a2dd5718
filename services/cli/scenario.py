"""`touchline test`: scenarios on the production engine and step machine, in memory, on the log clock.

An event goes through the same `PartitionEngine` and `PlaysPartition` that serve in earnest; the only things missing
are the log, the database and the channels. Touchline's own events follow the event that caused them.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from backbone.errors import Invalid
from backbone.validation import validate
from schemas.account import AccountIn
from schemas.duration import parse_duration
from schemas.event import CLOCK, Event, decode, from_microseconds, microseconds, rfc3339
from schemas.playbook import PlaybookIn
from schemas.rule import RuleIn, TiersDoc
from schemas.scenario import Scenario, ScenarioEvent
from schemas.template import TemplateIn
from schemas.trigger import Moved, Trigger
from services.actions.plays.memory import MemoryAction, MemoryLibrary, MemoryStore
from services.actions.plays.merge import EventItem, TriggerItem
from services.actions.plays.model import OwnEvent, Renderer
from services.actions.plays.partition import PlaysPartition
from services.actions.rendering.drafts import DraftRenderer
from services.actions.rendering.renderer import Renderer as Pool
from services.cli.documents import TEST_SUFFIX, Document, Problem, Problems, find, load
from services.cli.yamlfile import YamlError, read_yaml
from services.rules.engine.compile import RuleRevision, RuleSet, compile_rules
from services.rules.engine.explain import explain
from services.rules.engine.partition import MemoryAccounts, PartitionEngine
from services.rules.revisions import DEFAULT_TIERS

MAX_EVENTS = 1_000_000
BEGINNING = datetime.fromisoformat("2026-01-01T00:00:00Z")  # of a scenario that names no time
SENDER: dict[str, str | None] = {"name": "Touchline", "email": "touchline@touchline.test"}

console = Console(highlight=False)


@dataclass
class Difference:
    """What was expected and did not come, and what came unexpected; `why` explains the first, where a rule can."""

    what: str
    missing: list[dict[str, Any]]
    unexpected: list[dict[str, Any]]
    why: list[str] = field(default_factory=list)


def test(paths: Sequence[Path]) -> int:
    """Run every scenario under the paths; 0 if all hold, 1 if one does not, 2 if a file cannot be read as a test."""
    files = find(paths, tests=True)
    if not files:
        console.print(f"no *{TEST_SUFFIX} under {', '.join(map(str, paths))}", style="red")
        return 2
    failed = unreadable = 0
    with renderer() as render:
        for file in files:
            try:
                differences = run(file, render)
            except Problems as error:
                unreadable += 1
                for problem in error.problems:
                    console.print(f"[red]error[/]   {escape(str(problem))}")
                continue
            failed += bool(differences)
            console.print(f"{'[red]failed[/] ' if differences else '[green]passed[/] '} {file}")
            for difference in differences:
                _show(difference)
    passed = len(files) - failed - unreadable
    console.print(f"{passed} passed, {failed} failed" + (f", {unreadable} unreadable" if unreadable else ""))
    return 2 if unreadable else 1 if failed else 0


@contextmanager
def renderer() -> Iterator[Renderer]:
    """The production renderer; links to unsubscribe lead nowhere."""
    pool = Pool(workers=1)
    try:
        yield DraftRenderer(pool, SENDER, lambda _: "https://touchline.test/u/test")
    finally:
        pool.close()


def run(file: Path, render: Renderer | None) -> list[Difference]:
    """Run one scenario; what differs from its expectations. Raises `Problems` for a file that is no test."""
    scenario = read_scenario(file)
    documents = load(find([file.parent / name for name in scenario.load]))
    return play(scenario, documents, render)


def read_scenario(file: Path) -> Scenario:
    """The scenario in a file. Raises `Problems`."""
    try:
        located = read_yaml(file)
    except YamlError as error:
        raise Problems([Problem(error.path, error.line, error.message)]) from None
    if len(located) != 1:
        raise Problems([Problem(file, 1, f"should hold one test, not {len(located)}")])
    item = located[0]
    try:
        scenario = validate(Scenario, item.value)
    except Invalid as error:
        raise Problems(
            [Problem(file, item.line(e["field"]), f"{e['field']}: {e['message']}") for e in error.errors]
        ) from None
    problems = [
        Problem(file, item.line(f"load.{place}"), f"load.{place}: there is no file {name}")
        for place, name in enumerate(scenario.load)
        if not (file.parent / name).exists()
    ]
    problems += _wrong_accounts(file, item.line, scenario)
    problems += [
        Problem(file, item.line(f"events.{place}"), f"events.{place}.every: is needed with repeat")
        for place, event in enumerate(scenario.events)
        if event.repeat > 1 and event.every is None
    ]
    if problems:
        raise Problems(problems)
    return scenario


def _wrong_accounts(file: Path, line: Any, scenario: Scenario) -> list[Problem]:
    problems = []
    for name, body in scenario.accounts.items():
        try:
            validate(AccountIn, body or {})
        except Invalid as error:
            for wrong in error.errors:
                where = f"accounts.{name}.{wrong['field']}"
                problems.append(Problem(file, line(where), f"{where}: {wrong['message']}"))
    return problems


class World:
    """One partition with everything in memory."""

    def __init__(self, documents: Iterable[Document], render: Renderer | None) -> None:
        models = [document.model for document in documents]
        self.ruleset = ruleset([m for m in models if isinstance(m, RuleIn)], _tiers(models))
        self.accounts = MemoryAccounts()
        self.engine = PartitionEngine(
            0,
            clock_mode="log",
            clock=0,
            revision=self.ruleset,
            accounts=self.accounts,
            rulesets=lambda _: self.ruleset,
            fetch=lambda offset: self._log[offset],
            history=lambda _: (),
        )
        library = MemoryLibrary(
            [m for m in models if isinstance(m, PlaybookIn)], [m for m in models if isinstance(m, TemplateIn)]
        )
        self.store = MemoryStore(render)
        self.plays = PlaysPartition(0, mode="log", store=self.store, library=library)
        self.triggers: list[Trigger] = []
        self._log: list[Event] = []
        self._places = 0  # on the topic of triggers

    def feed(self, event: Event) -> None:
        """Append an event and all that follows from it."""
        waiting = deque([event])
        while waiting:
            waiting.extend(self._append(waiting.popleft()))
            waiting.extend(_own(told) for told in self.store.drain())

    def _append(self, event: Event) -> list[Event]:
        """Apply an event; what comes of it for other accounts, after merges."""
        offset = len(self._log)
        self._log.append(event)
        at = microseconds(cast("datetime", event.time))
        self.engine.apply([(offset, at, event)])
        fired, out = self.engine.drain(), self.engine.take_out()
        self.engine.forget_changes()
        self.triggers += fired
        decided: list[Trigger | Moved] = [*fired, *(moved for _, moved in out.moved)]
        for one in sorted(decided, key=lambda one: one.position.offset):
            self.plays.merge.offer_trigger(TriggerItem(self._place(), one))
        self.plays.merge.offer_events([EventItem(offset, at, event)])
        self.plays.merge.offer_progress(self._place(), offset + 1)
        while self.plays.step():
            pass
        return [decode(sent.value, place="", timestamp=at) for sent in out.sent]

    def _place(self) -> int:
        self._places += 1
        return self._places - 1


def ruleset(rules: Iterable[RuleIn], tiers: TiersDoc) -> RuleSet:
    """The rules as they would be in force: a draft is tested as if it were active."""
    revisions = [
        RuleRevision(
            name=rule.name,
            version=1,
            generation=0,
            unless_generation=0,
            status="active" if rule.status in {None, "draft"} else str(rule.status),
            backfill=False,
            doc=rule,
        )
        for rule in rules
    ]
    return compile_rules(1, revisions, tiers)


def _tiers(models: Iterable[Any]) -> TiersDoc:
    found = [model for model in models if isinstance(model, TiersDoc)]
    return found[0] if found else TiersDoc.model_validate({"tiers": list(DEFAULT_TIERS)})


def play(scenario: Scenario, documents: Sequence[Document], render: Renderer | None) -> list[Difference]:
    """Run a scenario against documents; what differs from its expectations."""
    world = World(documents, render)
    for event in arrivals(scenario):
        world.feed(event)
    differences = []
    if scenario.expect.triggers is not None:
        got = [_builtins(trigger) for trigger in world.triggers]
        missing, unexpected = compare(scenario.expect.triggers, got)
        if missing or unexpected:
            why = [text for one in missing if (text := _why(world, one))]
            differences.append(Difference("triggers", missing, unexpected, why))
    if scenario.expect.actions is not None:
        missing, unexpected = compare_actions(scenario.expect.actions, list(world.store.actions.values()))
        if missing or unexpected:
            differences.append(Difference("actions", missing, unexpected))
    return differences


def arrivals(scenario: Scenario) -> list[Event]:
    """The log of a scenario: what is known at the beginning, the events in the order of arrival, the last time."""
    sent = [one for place, event in enumerate(scenario.events) for one in _repeated(place, event)]
    sent.sort(key=lambda pair: pair[0])
    first = min((cast("datetime", event.time) for _, event in sent), default=scenario.until or BEGINNING)
    known = [
        Event(
            id=f"accounts.{name}", source="test", type="account.updated", account=name, time=first, data=body or {},
            historical=True,
        )
        for name, body in scenario.accounts.items()
    ]  # fmt: skip
    end = (
        [] if scenario.until is None else [Event(id="until", source="test", type=CLOCK, time=scenario.until)]
    )
    return known + [event for _, event in sent] + end


def _repeated(place: int, event: ScenarioEvent) -> Iterable[tuple[datetime, Event]]:
    every = timedelta(microseconds=parse_duration(event.every) if event.every else 0)
    name = event.id or f"events.{place}"
    for number in range(event.repeat):
        at = event.at + every * number
        yield (
            event.arrives or at,
            Event(
                id=name if event.repeat == 1 else f"{name}.{number}",
                source=event.source,
                type=event.type,
                account=event.account,
                contact=event.contact,
                time=at,
                data=event.data,
                historical=event.historical,
            ),
        )  # fmt: skip


def _own(told: OwnEvent) -> Event:
    return Event(
        id=told.id,
        source="touchline",
        type=told.type,
        account=told.account,
        contact=told.contact,
        time=from_microseconds(told.time),
        data=told.data,
    )


def compare(
    expected: Sequence[dict[str, Any]], got: Sequence[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What of `expected` did not come, and what of `got` was not expected: the largest pairing there is."""
    partner: dict[int, int] = {}  # got -> expected

    def place(index: int, tried: set[int]) -> bool:
        for other, item in enumerate(got):
            if other not in tried and fits(expected[index], item):
                tried.add(other)
                if other not in partner or place(partner[other], tried):
                    partner[other] = index
                    return True
        return False

    missing = [expected[index] for index in range(len(expected)) if not place(index, set())]
    return missing, [item for other, item in enumerate(got) if other not in partner]


def compare_actions(
    expected: Sequence[dict[str, Any]], actions: Sequence[MemoryAction]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """As `compare`. An entry without a status means one that was carried out; what was skipped may stay unnamed."""
    got = [_action(action) for action in actions]
    wanted = [entry if "status" in entry else {**entry, "status": "done"} for entry in expected]
    missing, unexpected = compare(wanted, got)
    return missing, [item for item in unexpected if item["status"] != "skipped"]


def fits(expected: Any, got: Any) -> bool:
    """Whether `got` has what `expected` gives; times may be written in any way."""
    if isinstance(expected, dict):
        return isinstance(got, dict) and all(
            key in got and fits(value, got[key]) for key, value in expected.items()
        )
    if expected == got and isinstance(expected, bool) == isinstance(got, bool):
        return True
    moment = _moment(expected)
    return moment is not None and moment == _moment(got)


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str) or "T" not in value:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _action(action: MemoryAction) -> dict[str, Any]:
    shown = _builtins(action)
    rendered = shown.pop("rendered")
    return {**rendered, **shown, "at": rfc3339(action.due_at), "due_at": rfc3339(action.due_at)}


def _builtins(struct: Any) -> dict[str, Any]:
    result: dict[str, Any] = msgspec.to_builtins(struct)
    return result


def _why(world: World, entry: dict[str, Any]) -> str:
    """What the rule itself says of a trigger that did not come."""
    rule, account = entry.get("rule"), entry.get("account")
    if not isinstance(rule, str) or not isinstance(account, str):
        return ""
    state = world.accounts.get(account)
    now = world.engine.clock
    try:
        said = explain(world.ruleset, rule, state, account, entry.get("contact"), entry.get("key"), now)
    except (LookupError, ValueError) as error:
        return f"{rule} for {account}: {error}"
    value = f", value {said['value']} against {said['threshold']}" if said.get("value") is not None else ""
    return f"{rule} for {account} at the end: {said['reason']} (tier {said['tier']}{value})"


def _show(difference: Difference) -> None:
    table = Table(title=f"  {difference.what}", title_justify="left", show_lines=True)
    table.add_column("expected, did not come", style="red", ratio=1)
    table.add_column("came, not expected", style="yellow", ratio=1)
    shown = {key for entry in difference.missing for key in entry} or {
        "rule",
        "account",
        "channel",
        "at",
        "step",
    }
    rows = max(len(difference.missing), len(difference.unexpected))
    for place in range(rows):
        left = _lines(difference.missing[place]) if place < len(difference.missing) else ""
        right = ""
        if place < len(difference.unexpected):
            item = difference.unexpected[place]
            right = _lines(
                {key: value for key, value in item.items() if key in shown or key in {"tier", "reason"}}
            )
        table.add_row(escape(left), escape(right))
    console.print(table)
    for text in difference.why:
        console.print(f"  why: {escape(text)}")


def _lines(entry: dict[str, Any]) -> str:
    return "\n".join(f"{key}: {value}" for key, value in entry.items() if value is not None)
