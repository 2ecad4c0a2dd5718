"""Every kind of step: who gets an email, what a task says, how branches and waits go."""

from collections.abc import Sequence
from typing import Any

import pytest

from schemas.playbook import PlaybookIn
from services.actions.plays.model import Rendered, RenderFailure, RenderJob, TaskSpec
from tests.unit.plays.kit import DAY, T0, World, account, book, event

CONTACTS = [
    {"id": "gone", "email": "gone@acme.test", "roles": ["admin", "sponsor"], "active": False},
    {"id": "bob", "email": "bob@acme.test", "roles": ["sponsor"]},
    {"id": "ann", "email": "ann@acme.test", "roles": ["admin", "sponsor"]},
    {"id": "mute", "roles": ["sponsor"]},
    {"id": "twin", "email": "ANN@acme.test", "roles": ["sponsor"]},
]


def mailed(to: str | None, contact: str | None = None, contacts: Any = CONTACTS, **data: Any) -> list[Any]:
    step: dict[str, Any] = {"template": "hello"} | ({} if to is None else {"to": to})
    world = World(book(steps=[{"email": step}]))
    world.say(account(contacts=contacts, **data))
    world.fire(T0, contact=contact)
    return [(a.contact, a.recipient, a.reason) for a in world.store.actions.values()]


@pytest.mark.parametrize(
    ("to", "contact", "expected"),
    [
        (None, "bob", [("bob", "bob@acme.test", None)]),
        (None, None, [("ann", "ann@acme.test", None)]),  # the first active admin
        (None, "gone", [("gone", "gone@acme.test", "contact_inactive")]),
        (None, "mute", [("mute", None, "no_address")]),
        (None, "who", [("who", None, "contact_unknown")]),
        (
            "role:admin",
            None,
            [("gone", "gone@acme.test", "contact_inactive"), ("ann", "ann@acme.test", None)],
        ),
        ("role:nobody", None, [(None, None, "no_recipient")]),
        ("owner", "bob", [(None, "jo@us.test", None)]),
        ("desk@us.test", "bob", [(None, "desk@us.test", None)]),
        (
            "all",
            None,
            [
                ("gone", "gone@acme.test", "contact_inactive"),
                ("bob", "bob@acme.test", None),
                ("ann", "ann@acme.test", None),
                ("mute", None, "no_address"),
                ("twin", "ANN@acme.test", "duplicate_recipient"),
            ],
        ),
    ],
)
def test_who_gets_an_email(to: str | None, contact: str | None, expected: list[Any]) -> None:
    assert mailed(to, contact) == expected


def test_without_an_admin_the_first_active_contact_gets_it_and_without_any_nobody() -> None:
    assert mailed(None, contacts=[CONTACTS[0], CONTACTS[1]]) == [("bob", "bob@acme.test", None)]
    assert mailed(None, contacts=[CONTACTS[0]]) == [(None, None, "no_recipient")]
    assert mailed("owner", owner=None) == [(None, None, "no_owner")]


def test_an_unknown_template_fails_the_action_and_not_the_play() -> None:
    world = World(book(steps=[{"email": {"template": "missing"}}, {"task": {"title": "Call"}}]))
    world.say(account())
    play = world.fire(T0)
    assert play is not None
    assert play.status == "finished"
    assert world.acts() == [
        ("email", "ann@acme.test", "failed", "template_unknown"),
        ("task", "jo@us.test", "done", None),
    ]


def test_a_task_is_updated_while_one_with_its_key_is_open() -> None:
    world = World(book(steps=[{"task": {"title": "Call", "key": "call", "due": "1d"}}]))
    world.say(account())
    world.fire(T0)
    world.say(event("it", T0 + DAY))
    world.fire(T0 + DAY)
    (task,) = world.store.tasks.values()
    assert task.due_at == T0 + 2 * DAY
    assert [a.reason for a in world.store.actions.values()] == [None, "task_updated"]
    assert world.told().count("task.created") == 1


def test_a_closed_task_is_not_updated() -> None:
    world = World(book(steps=[{"task": {"title": "Call"}}], exit_when={"event": "called"}))
    world.say(account())
    world.fire(T0)
    world.say(event("called", T0 + 1))
    world.fire(T0 + 1)
    assert [task.status for task in world.store.tasks.values()] == ["closed", "open"]


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({}, "book/0"),
        ({"contact": "ann"}, "book/0"),
        ({"key": "88"}, "book/0"),
        ({"scope": "contact", "contact": "ann"}, "book/0"),
    ],
)
def test_default_keys_are_playbook_and_step(fields: dict[str, Any], key: str) -> None:
    world = World(book())
    world.say(account())
    world.fire(T0, **fields)
    assert [task.key for task in world.store.tasks.values()] == [key]


def test_a_default_key_is_never_taken_for_a_template() -> None:
    spec = TaskSpec(title="t", default_key="book/0/{{ evil }}")
    assert spec.key is None


def test_branches_go_one_way_only() -> None:
    steps = [
        {
            "id": "rich",
            "branch": {
                "if": {"account.attributes.arr": {"gte": 100}},
                "then": [{"task": {"title": "Rich"}}, {"wait": "1d"}, {"task": {"title": "Still rich"}}],
                "else": [{"task": {"title": "Poor"}}],
            },
        },
        {"task": {"title": "Both"}},
    ]
    for arr, expected in ((100, ["rich.then.0", "rich.then.2", "1"]), (99, ["rich.else.0", "1"])):
        world = World(book(steps=steps))
        world.say(account(attributes={"arr": arr}))
        world.fire(T0)
        world.clock(T0 + DAY)
        assert [action.step for action in world.store.actions.values()] == expected


def test_a_branch_sees_the_trigger_and_its_contact() -> None:
    steps = [{"branch": {"if": {"trigger.event.data.invoice": "88", "contact.roles": {"contains": "admin"}},
                         "then": [{"webhook": {"endpoint": "crm"}}]}}]  # fmt: skip
    world = World(book(steps=steps))
    world.say(account())
    world.fire(T0, contact="bob")
    assert not world.store.actions
    world.fire(T0, contact="ann")
    assert [action.channel for action in world.store.actions.values()] == ["webhook"]


def test_a_webhook_without_body_says_what_it_is_about() -> None:
    world = World(book(steps=[{"webhook": {"endpoint": "crm"}}]))
    world.say(account())
    world.fire(T0, contact="ann")
    (action,) = world.store.actions.values()
    body = action.rendered["body"]
    assert body["account"]["name"] == "Acme"
    assert body["contact"]["email"] == "ann@acme.test"
    assert body["trigger"]["event"]["data"] == {"invoice": "88"}
    assert "shadow" not in body["trigger"]


@pytest.mark.parametrize(
    ("wait", "runs", "waits"),
    [
        ("0s", [0], None),
        ("1d", [0, DAY], None),
        ({"until_date": "account.attributes.renewal", "before": "2d"}, [0, 8 * DAY], None),
        ({"until_date": "account.attributes.renewal", "before": "10d"}, [0], None),  # now: goes on
        ({"until_date": "account.attributes.past"}, [0], None),
        ({"until_date": "account.attributes.none"}, [0], None),
        ({"until_date": "account.attributes.text"}, [0], None),
    ],
)
def test_waits(wait: Any, runs: list[int], waits: None) -> None:
    attributes = {"renewal": "2026-01-11", "past": "2025-12-31", "text": "soon"}
    world = World(book(steps=[{"task": {"title": "Before"}}, {"wait": wait}, {"task": {"title": "After"}}]))
    world.say(account(attributes=attributes))
    world.fire(T0)
    world.clock(T0 + 20 * DAY)
    times = sorted({action.due_at - T0 for action in world.store.actions.values()})
    assert times == runs
    assert len(world.store.actions) == 2


def test_a_bare_date_means_midnight_where_the_account_is() -> None:
    world = World(book(steps=[{"wait": {"until_date": "account.attributes.day"}}, {"task": {"title": "Go"}}]))
    world.say(account(timezone="America/New_York", attributes={"day": "2026-01-02"}))
    world.fire(T0)
    world.clock(T0 + 3 * DAY)
    (action,) = world.store.actions.values()
    assert action.due_at == T0 + DAY + 5 * 3_600_000_000


def test_a_wait_for_a_date_follows_the_date() -> None:
    for day, expected in (("2026-01-03", 2 * DAY), ("2026-02-10", 40 * DAY), ("2025-12-01", DAY)):
        world = World(
            book(steps=[{"wait": {"until_date": "account.attributes.day"}}, {"task": {"title": "Go"}}])
        )
        world.say(account(attributes={"day": "2026-01-11"}))
        world.fire(T0)
        world.say(account(T0 + DAY, attributes={"day": day}))
        world.clock(T0 + 60 * DAY)
        (action,) = world.store.actions.values()
        assert action.due_at == T0 + expected


def test_a_contact_date_wait_is_of_the_triggers_contact() -> None:
    steps = [{"wait": {"until_date": "contact.attributes.day"}}, {"task": {"title": "Go"}}]
    world = World(book(steps=steps))
    world.say(account(contacts=[{"id": "ann", "attributes": {"day": "2026-01-05"}}]))
    world.fire(T0, contact="ann")
    world.clock(T0 + 10 * DAY)
    assert [action.due_at for action in world.store.actions.values()] == [T0 + 4 * DAY]


def test_steps_with_the_same_id_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        PlaybookIn.model_validate(
            {"name": "x", "steps": [{"id": "a", "wait": "1d"}, {"id": "a", "wait": "1d"}]}
        )


def test_a_mail_to_many_holds_the_account_once() -> None:
    """Not once for each of its contacts: a hundred million of them is more than there is memory."""
    seen: list[RenderJob] = []

    class Listening:
        def render_many(self, jobs: Sequence[RenderJob]) -> list[Rendered | RenderFailure]:
            seen.extend(jobs)
            return [Rendered(content={}) for _ in jobs]

        def check(self, sources: dict[str, str]) -> list[tuple[str, str]]:
            return []

    world = World(book(steps=[{"email": {"template": "hello", "to": "all"}}]))
    world.store._renderer = Listening()
    world.say(account(contacts=[{"id": f"c{n}", "email": f"c{n}@acme.test"} for n in range(50)]))
    world.fire(T0)
    contexts = [job.draft.context for job in seen]
    assert [context["contact"]["id"] for context in contexts] == [f"c{n}" for n in range(50)]
    assert all(context["account"] is contexts[0]["account"] for context in contexts)
