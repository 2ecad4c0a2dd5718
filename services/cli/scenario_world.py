"""The world of a scenario: one partition of the production engine and interpreter, in memory, on the log clock.

Only the log, the database and the channels are missing. Touchline's own events follow the event that caused them.
"""

from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, cast

from schemas.blanks import templates_of
from schemas.brand import BrandIn
from schemas.duration import parse_duration
from schemas.endpoint import EndpointIn
from schemas.event import CLOCK, Event, decode, from_microseconds, microseconds
from schemas.play_reasons import ActionReason
from schemas.playbook import PlaybookIn, PlayLimit
from schemas.policy import PolicyDoc
from schemas.rule import RuleIn, TiersDoc
from schemas.scenario import ByHand, Reported, Scenario, ScenarioEvent
from schemas.template import TemplateIn
from schemas.trigger import Moved, Trigger
from services.actions.channels import NEED_CONSENT
from services.actions.plays.in_memory import MemoryStore
from services.actions.plays.mail_reports import ReportKind
from services.actions.plays.memory_holds import MemoryHolds
from services.actions.plays.memory_library import MemoryLibrary
from services.actions.plays.memory_rows import MemoryAction
from services.actions.plays.merge import EventItem, TriggerItem
from services.actions.plays.model import DraftRendering, OwnEvent
from services.actions.plays.processor import PlaysPartition
from services.actions.policy.rules import compile_policy
from services.cli.documents import Document
from services.cli.scenario_shown import shown_action, shown_impact
from services.rules.engine.processor import InMemoryAccounts, PartitionEngine
from services.rules.engine.ruleset import RuleRevision, RuleSet, compile_rules
from services.rules.storage.revisions import DEFAULT_TIERS

BEGINNING = datetime.fromisoformat("2026-01-01T00:00:00Z")  # of a scenario that names no time


class World:
    """One partition with everything in memory."""

    def __init__(
        self,
        documents: Iterable[Document],
        render: DraftRendering | None,
        limit: PlayLimit | None = None,
    ) -> None:
        models = [document.model for document in documents]
        self.ruleset = ruleset([m for m in models if isinstance(m, RuleIn)], _tiers(models))
        self.accounts = InMemoryAccounts()
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
        self._endpoints = {m.name: m for m in models if isinstance(m, EndpointIn)}
        self._books = [m for m in models if isinstance(m, PlaybookIn)]
        self.library = MemoryLibrary(
            [_limited(one, limit) for one in self._books],
            [m for m in models if isinstance(m, TemplateIn)],
            {name: templates_of(one.model_dump()) for name, one in self._endpoints.items()},
            next((m.model_dump() for m in models if isinstance(m, BrandIn)), None),
            next((m.timezone for m in models if isinstance(m, PolicyDoc)), None),
        )
        policies = [m for m in models if isinstance(m, PolicyDoc)]
        policy = compile_policy(policies[0]) if policies else None
        self.holds = MemoryHolds()
        self.store = MemoryStore(render, self.holds, policy)
        self.plays = PlaysPartition(0, mode="log", store=self.store, library=self.library, holds=self.holds)
        self.triggers: list[Trigger] = []
        self._log: list[Event] = []
        self._places = 0  # on the topic of triggers

    def feed(self, event: Event) -> None:
        """Append an event and everything that follows from it."""
        waiting = deque([event])
        while waiting:
            waiting.extend(self._append(waiting.popleft()))
            waiting.extend(_own(told) for told in self.store.drain())

    def reach(self, moment: datetime) -> None:
        """Let the clock reach a moment, with all that happens until then."""
        self.feed(Event(id=f"clock {moment}", source="test", type=CLOCK, time=moment))

    def go_on(self) -> None:
        """Let what was released, or stood still, go on."""
        while self.plays.catch_up():
            pass
        for told in self.store.drain():
            self.feed(_own(told))

    def _append(self, event: Event) -> list[Event]:
        """Apply an event. Returns what it leaves for other accounts, after merges."""
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

    def shown(self, action: MemoryAction) -> dict[str, Any]:
        """An action as expectations name it."""
        return shown_action(action, self._endpoints.get(action.recipient or ""))

    def awaiting(self) -> list[MemoryAction]:
        """The mails that await an approval."""
        return [one for one in self.store.actions.values() if one.reason == ActionReason.AWAITING_APPROVAL]

    def decide(self, action: str, *, approve: bool) -> None:
        """Approve or reject a mail, with everything that follows from it."""
        if approve:
            self.store.approve(action, self.plays.clock)
        else:
            self.store.reject(action, self.plays.clock)
        self.go_on()

    def gone_out(self) -> list[MemoryAction]:
        """The mails that went out."""
        return [
            one for one in self.store.actions.values() if one.channel in NEED_CONSENT and one.status == "done"
        ]

    def report(self, mail: MemoryAction, kind: ReportKind) -> None:
        """Take a report about a mail that went out."""
        play = self.store.plays.get(mail.play)
        place = None if play is None else play.place
        told = self.store.reports.take(mail, kind, self.plays.clock, place)
        if told is not None:
            self.store.events.append(told)

    def impact(self) -> list[dict[str, Any]]:
        """What each playbook with a goal or a holdout has done so far, as the API shows it."""
        return [
            shown_impact(
                book,
                [one for one in self.store.plays.values() if one.playbook == book.name],
                self.plays.clock,
            )
            for book in self._books
            if book.goal is not None or book.holdout
        ]

    def _place(self) -> int:
        self._places += 1
        return self._places - 1


def ruleset(rules: Iterable[RuleIn], tiers: TiersDoc) -> RuleSet:
    """The rules as if in force: a draft is tested as if it were active."""
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


def _limited(playbook: PlaybookIn, limit: PlayLimit | None) -> PlaybookIn:
    """The playbook with the scenario's limit, unless it sets one itself."""
    given = limit is None or "limit" in playbook.model_fields_set
    return playbook if given else playbook.model_copy(update={"limit": limit})


def _tiers(models: Iterable[Any]) -> TiersDoc:
    found = [model for model in models if isinstance(model, TiersDoc)]
    return found[0] if found else TiersDoc.model_validate({"tiers": list(DEFAULT_TIERS)})


def arrivals(scenario: Scenario) -> list[Event]:
    """The log of a scenario: what is known at the beginning, the events in the order of arrival, and
    the last time."""
    return [one for one in course(scenario) if isinstance(one, Event)]


def course(scenario: Scenario) -> list[Event | ByHand | Reported]:
    """The log of a scenario, what comes back of its mails and what people do meanwhile, each behind the events that
    have arrived by then."""
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
    others: list[ByHand | Reported] = [*scenario.feedback, *scenario.by_hand]
    done: list[tuple[datetime, Event | ByHand | Reported]] = [*sent, *((one.at, one) for one in others)]
    # At the same time they stay in this order: events come first, people last.
    done.sort(key=lambda pair: pair[0])
    return [*known, *(one for _, one in done), *end]


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
