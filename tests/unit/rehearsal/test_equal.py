"""A rehearsal makes the actions that the engine and the plays make, as `touchline test` runs them."""

from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.event import CLOCK, Event, from_microseconds, rfc3339
from schemas.playbook import PlaybookIn
from schemas.policy import PolicyDoc
from schemas.rule import RuleIn
from schemas.template import TemplateIn
from schemas.trigger import Position
from services.actions.policy.rules import compile_policy
from services.cli.documents import Document
from services.cli.scenario_world import World
from tests.unit.rehearsal.kit import DAY, T0, MemoryLog, Renderer, acts, rehearse, statuses

HOUR = DAY // 24
ACCOUNTS = ("acme", "beta", "gamma")
TEMPLATE = TemplateIn.model_validate({"name": "hello", "subject": "s", "markdown": "m"})
RULES = {
    "account": {
        "name": "spike", "playbook": "book", "cooldown": "0s",
        "when": {"threshold": {"event": "ticket", "within": "1d", "at_least": 2}},
    },
    "contact": {
        "name": "spike", "playbook": "book", "cooldown": "0s", "scope": "contact",
        "when": {"threshold": {"event": "ticket", "within": "1d", "at_least": 1}},
    },
    "by": {
        "name": "spike", "playbook": "book", "cooldown": "0s", "by": "data.key",
        "when": {"threshold": {"event": "ticket", "within": "1d", "at_least": 1}},
    },
    "absence": {
        "name": "spike", "playbook": "book",
        "when": {"absence": {"event": "login", "for": "6h"}},
    },
    "becomes": {
        "name": "spike", "playbook": "book",
        "when": {"becomes": {"is": {"account.attributes.plan": "pro"}}},
    },
}  # fmt: skip
LOW: list[dict[str, Any]] = [
    {"email": {"template": "hello", "to": "all"}},
    {"wait": {"for": "9h", "until": {"event": ["login", "ticket"]}, "then": "exit"}},
    {"branch": {"if": {"account.attributes.plan": "pro"}, "then": [{"task": {"title": "Ring"}}]}},
    {"wait": {"for": "2h", "until": {"event": "touchline.email.sent"}}},
    {"webhook": {"endpoint": "crm"}},
]
PLAYBOOK: dict[str, Any] = {
    "name": "book",
    "exit_when": [
        {"event": "paid", "by": "data.key"}, {"event": "left"}, {"changed": "account.attributes.plan"},
    ],
    "steps": {
        "high": [
            {"task": {"title": "Call", "key": "{{ trigger.key }}"}},
            {"wait": "3h"},
            {"email": {"template": "hello"}},
        ],
        "low": LOW,
        "tech": [{"wait": "1h"}, {"task": {"title": "Write"}}, {"wait": "9h"}, *LOW],
    },
}  # fmt: skip


def updates() -> st.SearchStrategy[dict[str, Any]]:
    contact = st.fixed_dictionaries(
        {"id": st.sampled_from(["ann", "bob"]), "email": st.sampled_from([None, "a@x.test", "b@x.test"])}
    )
    return st.fixed_dictionaries(
        {},
        optional={
            "tier": st.sampled_from(["high", "low", "tech"]),
            "attributes": st.fixed_dictionaries({"plan": st.sampled_from(["pro", "free"])}),
            "contacts": st.lists(contact, max_size=2),
            "owner": st.just({"name": "Jo", "email": "jo@us.test"}),
        },
    )


TYPES = [
    "ticket",
    "ticket",
    "ticket",
    "login",
    "paid",
    "left",
    "other",
    "other",
    "account.updated",
    "account.updated",
]


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Events in order of arrival; some are late, some come twice, some share a time."""
    moment, found = T0, []
    for number in range(draw(st.integers(1, 25))):
        moment += draw(st.sampled_from([0, HOUR, 3 * HOUR, 9 * HOUR, DAY]))
        late = draw(st.sampled_from([0, 0, HOUR, 5 * HOUR, 10 * HOUR, 9 * DAY]))
        type_ = draw(st.sampled_from([*TYPES, *TYPES, "account.deleted", "contact.deleted"]))
        data: Any = {"key": draw(st.sampled_from(["1", "2"]))}
        if type_ == "account.updated":
            data = draw(updates())
        found.append(
            Event(
                id=f"e{draw(st.sampled_from([number, max(0, number - 2)]))}", source="t", type=type_,
                account=draw(st.sampled_from(ACCOUNTS)), contact=draw(st.sampled_from(["ann", "bob", None])),
                time=from_microseconds(moment - late), data=data,
            )
        )  # fmt: skip
    end = moment + draw(st.sampled_from([0, DAY]))
    return [*found, Event(id="end", source="t", type=CLOCK, time=from_microseconds(end))]


def world_of(rule: str, renderer: Any, *more: PolicyDoc | PlaybookIn) -> World:
    books = [one for one in more if isinstance(one, PlaybookIn)] or [PlaybookIn.model_validate(PLAYBOOK)]
    models = [RuleIn.model_validate(RULES[rule]), *books, TEMPLATE]
    policy = [one for one in more if isinstance(one, PolicyDoc)]
    policies = [Document("policy", "policy", {}, one, None) for one in policy]  # type: ignore[arg-type]
    documents = [Document("", one.name, {}, one, None) for one in models]  # type: ignore[arg-type,attr-defined]
    return World([*documents, *policies], renderer)


@settings(max_examples=60)
@given(histories(), st.sampled_from(sorted(RULES)), st.sampled_from([1, 600, 1 << 30]))
def test_the_same_actions_as_touchline_test(events: list[Event], rule: str, room: int) -> None:
    check(events, rule, PlaybookIn.model_validate(PLAYBOOK), room)


@st.composite
def storms(draw: st.DrawFn) -> list[Event]:
    """Many events that start plays, some of them at the same moment, or none."""
    moment, found, apart = T0, [], draw(st.sampled_from([0, 1]))
    for number in range(draw(st.integers(4, 20))):
        moment += apart + draw(st.sampled_from([0, 0, HOUR, 3 * HOUR, 9 * HOUR]))
        found.append(
            Event(
                id=f"e{number}", source="t", type=draw(st.sampled_from(["ticket"] * 3 + ["login", "paid"])),
                account=draw(st.sampled_from(ACCOUNTS)), contact=draw(st.sampled_from(["ann", "bob"])),
                time=from_microseconds(moment), data={"key": draw(st.sampled_from("123"))},
            )
        )  # fmt: skip
    end = moment + apart + draw(st.sampled_from([0, DAY, 9 * DAY]))
    return [*found, Event(id="end", source="t", type=CLOCK, time=from_microseconds(end))]


LIMITS = st.fixed_dictionaries({"plays": st.integers(1, 4), "within": st.sampled_from(["1h", "9h", "30d"])})


@settings(max_examples=60)
@given(storms(), st.sampled_from(["by", "contact"]), LIMITS, st.sampled_from([1, 600, 1 << 30]))
def test_the_same_plays_are_held_as_in_touchline_test(
    events: list[Event], rule: str, limit: Any, room: int
) -> None:
    times = [one.time for one in events]
    assume(room > 600 or len(set(times)) == len(times))  # readings know no order within a microsecond
    book = {**PLAYBOOK, "limit": limit, "held_for": "2d"}
    check(events, rule, PlaybookIn.model_validate(book), room)


def check(events: list[Event], rule: str, book: PlaybookIn, room: int) -> None:
    world = world_of(rule, Renderer(), book)
    for one in events:
        world.feed(one)
    log = MemoryLog(world._log)
    played, report = rehearse(book, world.triggers, log, templates=[TEMPLATE], room=room)
    store = world.store
    wanted = sorted(
        (
            (a.account, a.channel, a.step, a.recipient, rfc3339(a.due_at), a.reason, None)
            for a in store.actions.values()
        ),
        key=repr,
    )
    assert acts(played) == wanted
    assert statuses(played) == {p.trigger_id: (p.status, p.reason) for p in store.plays.values()}
    assert report["plays"] == len(store.plays)
    assert report["actions"]["task"] == len(store.tasks)


POLICIES: tuple[dict[str, Any], ...] = (
    {"hours": {"from": "08:00", "to": "18:00"}, "timezone": "Asia/Kathmandu"},
    {"caps": [{"at_most": 1, "within": "12h"}], "wait_at_most": "1d"},
    {"hours": {"from": "00:00", "to": "06:00"}, "caps": [{"at_most": 2, "within": "2d", "per": "account"}]},
)


@settings(max_examples=30)
@given(histories(), st.sampled_from(sorted(RULES)), st.sampled_from(POLICIES))
def test_mails_begin_as_in_touchline_test(events: list[Event], rule: str, given_: dict[str, Any]) -> None:
    policy = PolicyDoc.model_validate(given_)
    world = world_of(rule, Renderer(), policy)
    people = [{"id": name, "email": f"{name[0]}@x.test"} for name in ("ann", "bob")]
    known: Any = {"source": "t", "type": "account.updated", "time": from_microseconds(T0)}
    known["data"] = {"tier": "low", "contacts": people}
    for one in [*(Event(id=f"known-{name}", account=name, **known) for name in ACCOUNTS), *events]:
        world.feed(one)
    played, report = rehearse(
        PlaybookIn.model_validate(PLAYBOOK),
        world.triggers,
        MemoryLog(world._log),
        templates=[TEMPLATE],
        policy=compile_policy(policy),
    )

    made = list(world.store.actions.values())
    over = {a.id: a.begun_at or (a.done_at if a.status == "skipped" else None) or a.due_at for a in made}
    assert acts(played) == sorted(
        (
            (a.account, a.channel, a.step, a.recipient, rfc3339(over[a.id]), a.reason, None)
            if a.status != "pending"
            else (a.account, a.channel, a.step, a.recipient, rfc3339(a.due_at), None, None)
            for a in made
        ),
        key=repr,
    )
    assert report["actions"]["email"] == sum(a.channel == "email" and a.status == "done" for a in made)


@st.composite
def imports(draw: st.DrawFn) -> list[Event]:
    """Live events and an import of older ones, in one log; nothing is erased."""
    moment, found = T0, []
    for number in range(draw(st.integers(1, 25))):
        historical = draw(st.booleans())
        type_ = draw(st.sampled_from(TYPES))
        data: Any = (
            draw(updates()) if type_ == "account.updated" else {"key": draw(st.sampled_from(["1", "2"]))}
        )
        if not historical:
            moment += draw(st.sampled_from([0, HOUR, 9 * HOUR]))
        back = draw(st.integers(-2, 60)) * HOUR if historical else draw(st.sampled_from([0, 0, 10 * HOUR]))
        found.append(
            Event(
                id=f"e{number}", source="t", type=type_, account=draw(st.sampled_from(ACCOUNTS)),
                contact=draw(st.sampled_from(["ann", "bob"])), time=from_microseconds(moment - back), data=data,
                historical=historical,
            )
        )  # fmt: skip
    return found


@settings(max_examples=60)
@given(imports(), st.sampled_from(sorted(RULES)))
def test_an_import_is_played_before_the_rest_in_time_order(events: list[Event], rule: str) -> None:
    world = world_of(rule, Renderer())
    past = sorted((one for one in events if one.historical), key=lambda one: one.time or 0)
    for one in [*past, *(one for one in events if not one.historical)]:
        world.feed(replace(one, historical=False))

    log = MemoryLog(events)
    place_of = {one.id: log.places[number].offset for number, one in enumerate(events)}
    places: list[int] = []  # of each record in the world, the place of the last event from outside
    for each in world._log:
        places.append(place_of.get(each.id, places[-1] if places else 0))
    triggers = [
        replace(one, position=Position(0, places[max(0, one.position.offset)])) for one in world.triggers
    ]
    played, _ = rehearse(PlaybookIn.model_validate(PLAYBOOK), triggers, log, templates=[TEMPLATE])
    assert acts(played) == sorted(
        (
            (a.account, a.channel, a.step, a.recipient, rfc3339(a.due_at), a.reason, None)
            for a in world.store.actions.values()
        ),
        key=repr,
    )
