"""Tasks: the list by due date, one task, changes to one and to many, and one made by hand."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from services.console.pages.task import until_of
from services.console.pages.task_bulk import summed_up
from services.console.pages.tasks import asked, following, grouped, loads, tabs_of
from tests.unit.console.world import NOW, World, page_of, refusal

BERLIN = ZoneInfo("Europe/Berlin")
JO: Mapping[str, Any] = {"name": "jo", "scopes": ["admin"], "email": "jo@us.test"}
HOSTILE = "<img src=x onerror=alert(1)> {{ 7 * 7 }} \"'"


def a_task(id_: str = "t1", **more: Any) -> dict[str, Any]:
    """A task as the API answers it."""
    task = {
        "id": id_, "play": "p1", "playbook": "win-back", "step": "0", "rule": "gone-quiet", "tier": "high",
        "account": "acme", "contact": None, "title": "Call Acme", "body": "Ask how it goes.", "assignee": "jo@us.test",
        "priority": "high", "key": "k", "status": "open", "reason": None, "sentence": None, "approves": None,
        "due_at": "2026-03-10T12:00:00Z", "snoozed_until": None, "created_at": "2026-03-09T08:00:00Z",
        "completed_at": None, "completed_by": None, "note": None, "outcome": None,
    }  # fmt: skip
    return {**task, **more}


def a_world(*tasks: dict[str, Any], me: Any = JO, **more: Any) -> World:
    answers: dict[str, Any] = {
        "GET /v1/tasks": page_of(list(tasks)),
        "GET /v1/plays": page_of([{"id": "p1", "trigger": "g1"}]),
        "GET /v1/triggers": page_of([{"id": "g1", "sentence": "No login for 30 days."}]),
        "GET /v1/accounts/acme/events": page_of(
            [
                {"type": "touchline.task.created", "time": "2026-03-10T08:00:00Z", "contact": None},
                {"type": "login", "time": "2026-02-01T08:00:00Z", "contact": "ann"},
            ]
        ),
        "GET /v1/actions": page_of([]),
        **{f"GET /v1/tasks/{task['id']}": task for task in tasks},
    }
    return World({**answers, **more}, me=me)


def query(world: World, path: str) -> dict[str, str]:
    """What was asked of a list, last."""
    return dict([each for each in world.asked if each.url.path == path][-1].url.params)


def at(text: str) -> dict[str, Any]:
    return a_task(text, due_at=text)


# -- the list


def test_groups_are_days_of_the_reader() -> None:
    now = datetime.fromisoformat("2026-03-10T23:30:00+00:00")  # Wednesday, 00:30 in Berlin
    due = {
        "2026-03-10T23:29:59Z": "Overdue",
        "2026-03-10T23:30:00Z": "Today",
        "2026-03-11T22:59:59Z": "Today",
        "2026-03-11T23:00:00Z": "This week",
        "2026-03-15T22:59:59Z": "This week",  # Sunday
        "2026-03-15T23:00:00Z": "Later",
    }
    found = grouped([at(each) for each in due], BERLIN, now)
    assert {task["id"]: group.name for group in found for task in group.tasks} == due
    assert [group.name for group in found] == ["Overdue", "Today", "This week", "Later"]
    assert grouped([a_task(due_at=None)], BERLIN, now)[0].name == "Without a due date"
    assert grouped([], BERLIN, now) == []


def test_on_a_sunday_nothing_is_left_of_the_week() -> None:
    now = datetime.fromisoformat("2026-03-15T10:00:00+00:00")
    assert [group.name for group in grouped([at("2026-03-16T08:00:00Z")], BERLIN, now)] == ["Later"]


def test_mine_are_those_of_the_address_of_the_key() -> None:
    world = a_world(a_task())
    page = world.get("/tasks").text
    asked_for = query(world, "/v1/tasks")
    assert asked_for == {"assignee": "jo@us.test", "status": "open", "sort": "due", "limit": "50"}
    assert "My tasks" in page
    assert "Call Acme" in page
    assert 'href="/accounts/acme"' in page
    assert "high touch" in page


def test_why_there_are_the_tasks_comes_after_the_list() -> None:
    world = a_world(a_task(), a_task("t2", play="p2"), a_task("t3", play=None, rule=None))
    page = world.get("/tasks").text
    assert "By the rule gone-quiet." in page
    assert "No login for 30 days." not in page
    assert not {"/v1/plays", "/v1/triggers"} & {one.url.path for one in world.asked}
    assert 'hx-get="/tasks/whys?play=p1&amp;play=p2"' in page
    whys = world.get("/tasks/whys?play=p1&play=p2").text
    assert whys.count("<span") == 1, "nothing is known of the other play"
    assert 'hx-swap-oob="innerHTML:.why-p1">No login for 30 days.<' in whys
    assert world.asked[-2].url.params.get_list("id") == ["p1", "p2"]


def test_who_may_not_read_triggers_asks_for_none() -> None:
    me = {"name": "kim", "scopes": ["actions:read"], "email": "jo@us.test"}
    page = a_world(a_task(), me=me).get("/tasks").text
    assert "By the rule gone-quiet." in page
    assert "/tasks/whys" not in page


def test_what_a_task_opens_to_is_not_in_the_list() -> None:
    world = a_world(a_task(), a_task("t2"))
    page = world.get("/tasks").text
    assert 'name="note"' not in page
    assert 'hx-get="/tasks/t1/context?back=%2Ftasks&amp;after=t2"' in page
    assert 'href="/tasks/t1?back=%2Ftasks"' in page, "without script this leads to the forms"
    piece = world.get("/tasks/t1/context?back=%2Ftasks&after=t2").text
    assert 'action="/tasks/t1/complete"' in piece
    assert 'name="back" value="/tasks"' in piece
    assert 'name="after" value="t2"' in piece
    assert "No login for 30 days." in piece
    assert "<html" not in piece


def test_without_an_address_all_are_shown_and_it_says_what_to_do() -> None:
    world = a_world(a_task(), me={**JO, "email": None})
    page = world.get("/tasks").text
    assert query(world, "/v1/tasks") == {"status": "open", "sort": "due", "limit": "50"}
    assert "touchline keys create" in page


def test_filters_stand_under_the_names_of_the_api() -> None:
    assert asked({"status": "completed", "account": "a"}, "jo@us.test") == {
        "status": "completed", "account": "a", "sort": "created",
    }  # fmt: skip
    assert asked({"overdue": "true"}, "jo@us.test")["sort"] == "due"
    assert asked({"cursor": "x", "sort": "priority"}, "jo@us.test") == {
        "assignee": "jo@us.test", "status": "open", "sort": "priority",
    }  # fmt: skip
    world = a_world(a_task())
    page = world.get("/tasks?status=completed&account=a%2Fb&playbook=x&cursor=abc").text
    assert query(world, "/v1/tasks") == {
        "status": "completed", "account": "a/b", "playbook": "x", "sort": "created", "limit": "50", "cursor": "abc",
    }  # fmt: skip
    assert "Overdue</h2>" not in page
    assert 'form="bulk"' not in page, "what is over is not ticked"


def test_tabs_keep_the_other_filters() -> None:
    tabs = {name: to for name, to, _ in tabs_of({"assignee": "j", "status": "open", "sort": "due"})}
    assert tabs["Snoozed"] == "/tasks?assignee=j&status=snoozed"


def test_the_next_page_keeps_the_query() -> None:
    world = a_world(a_task())
    world.answers["GET /v1/tasks"] = page_of([a_task()], "next")
    assert 'href="/tasks?status=open&amp;cursor=next"' in world.get("/tasks?status=open").text


def test_nothing_to_do() -> None:
    assert "All done" in a_world().get("/tasks").text
    assert "No task fits" in a_world().get("/tasks?status=open").text
    assert "no open tasks" in a_world(me={**JO, "email": None}).get("/tasks").text


def test_who_may_not_change_sees_no_forms() -> None:
    world = a_world(a_task(), me={"name": "kim", "scopes": ["actions:read"], "email": "jo@us.test"})
    world.answers["GET /v1/triggers"] = refusal(403, "lacks the scope rules:read", code="forbidden")
    for path in ("/tasks", "/tasks/t1"):
        page = world.get(path).text
        assert "Call Acme" in page
        assert "/complete" not in page
        assert "New task" not in page


def test_what_others_wrote_is_text() -> None:
    world = a_world(a_task(title=HOSTILE, body=HOSTILE, account=HOSTILE, assignee=HOSTILE, priority=HOSTILE))
    for path in ("/tasks", "/tasks/everyone", "/tasks/t1"):
        page = world.get(path).text
        assert "<img" not in page
        assert "{{ 7 * 7 }}" in page


def test_an_error_of_the_api_is_a_page() -> None:
    world = a_world(**{"GET /v1/tasks": refusal(422, "invalid", ("status", "is none of these"))})
    page = world.get("/tasks?status=odd")
    assert page.status_code == 422
    assert "is none of these" in page.text


def test_everyone_by_assignee() -> None:
    late = a_task("t2", due_at="2026-03-10T09:29:00Z")
    found = loads([a_task(), late, a_task("t3", assignee=None), a_task("t4", assignee="kim@us.test")], NOW)
    assert [(each.assignee, each.open, each.overdue) for each in found] == [
        ("jo@us.test", 2, 1), (None, 1, 0), ("kim@us.test", 1, 0),
    ]  # fmt: skip
    page = a_world(a_task(), late).get("/tasks/everyone").text
    assert 'href="/tasks?assignee=jo%40us.test&amp;status=open">2</a>' in page
    assert 'href="/tasks?assignee=jo%40us.test&amp;overdue=true">1</a>' in page
    assert "Nobody has an open task" in a_world().get("/tasks/everyone").text


# -- one task


def test_a_task_says_what_led_to_it() -> None:
    page = a_world(a_task()).get("/tasks/t1").text
    assert "No login for 30 days." in page
    assert "login" in page
    assert "touchline.task.created" not in page
    assert 'href="/plays/p1"' in page


def test_a_task_made_by_hand_asks_for_no_play() -> None:
    world = a_world(a_task(play=None, account=None, rule=None, playbook=None))
    assert "Made by hand" in world.get("/tasks/t1").text
    assert {each.url.path for each in world.asked[-4:]}.isdisjoint({"/v1/plays", "/v1/actions"})


def test_an_unknown_task() -> None:
    assert a_world().get("/tasks/none").status_code == 404


def test_completing_with_a_note_goes_on_with_the_next() -> None:
    world = a_world(a_task(), a_task("t2"), **{"POST /v1/tasks/t1/complete": a_task(status="completed")})
    answer = world.post("/tasks/t1/complete", note=" fine ", outcome="reached", back="", after="")
    assert world.sent == [("POST", "/v1/tasks/t1/complete", {"note": "fine", "outcome": "reached"})]
    assert answer.status_code == 303
    assert answer.headers["location"] == "/tasks/t2"
    assert "Completed: “Call Acme”." in world.get("/tasks/t2").text


def test_after_the_last_one_comes_the_list() -> None:
    world = a_world(a_task(), **{"POST /v1/tasks/t1/complete": a_task(status="completed")})
    assert world.post("/tasks/t1/complete").headers["location"] == "/tasks"
    assert world.sent == [("POST", "/v1/tasks/t1/complete", {})]


def test_from_a_list_one_comes_back_to_it_at_the_next_row() -> None:
    world = a_world(a_task(), **{"POST /v1/tasks/t1/complete": a_task(status="completed")})
    answer = world.post("/tasks/t1/complete", back="/tasks?status=open#x", after="t2")
    assert answer.headers["location"] == "/tasks?status=open#task-t2"
    away = world.post("/tasks/t1/complete", back="//evil.test", after="t2")
    assert away.headers["location"] == "/tasks"
    assert following([a_task("a"), a_task("b"), a_task("c")]) == {"a": "b", "b": "c", "c": "b"}
    assert following([a_task("a")]) == {}


def test_what_is_over_already_is_told() -> None:
    world = a_world(a_task(), **{"POST /v1/tasks/t1/complete": refusal(409, "the task is completed")})
    page = world.post("/tasks/t1/complete", note="what I typed")
    assert page.status_code == 409
    assert "the task is completed" in page.text
    assert "what I typed" in page.text


def test_a_mail_to_approve_is_not_completed_here() -> None:
    page = a_world(a_task(approves="t1")).get("/tasks/t1").text
    assert 'href="/deliveries/t1"' in page
    assert "/tasks/t1/complete" not in page


@pytest.mark.parametrize(
    ("choice", "day", "until"),
    [
        ("tomorrow", "", "2026-03-11T07:00:00Z"),
        ("in-3-days", "", "2026-03-13T07:00:00Z"),
        ("monday", "", "2026-03-16T07:00:00Z"),
        ("", "2026-04-01", "2026-04-01T06:00:00Z"),  # summer time
    ],
)
def test_snoozed_until_the_morning_of_the_reader(choice: str, day: str, until: str) -> None:
    assert until_of(choice, day, BERLIN, NOW) == until
    world = a_world(a_task(), **{"POST /v1/tasks/t1/snooze": a_task(status="snoozed")})
    world.sign_in()
    world.cookies.set("touchline_zone", "Europe/Berlin")
    assert world.post("/tasks/t1/snooze", until=choice, day=day).status_code == 303
    assert world.sent == [("POST", "/v1/tasks/t1/snooze", {"until": until})]


@pytest.mark.parametrize("day", ["", "soon", "2026-13-01"])
def test_no_day_is_asked_for_again(day: str) -> None:
    world = a_world(a_task())
    page = world.post("/tasks/t1/snooze", until="", day=day)
    assert page.status_code == 422
    assert "Choose a day." in page.text
    assert world.sent == []


def test_a_day_that_is_past_is_told_at_its_field() -> None:
    wrong = refusal(422, "invalid", ("until", "must lie in the future"))
    page = a_world(a_task(), **{"POST /v1/tasks/t1/snooze": wrong}).post("/tasks/t1/snooze", day="2026-01-01")
    assert page.status_code == 422
    assert "must lie in the future" in page.text


def test_handing_over() -> None:
    world = a_world(a_task(), **{"POST /v1/tasks/t1/reassign": a_task(assignee="kim@us.test")})
    assert world.post("/tasks/t1/reassign", assignee=" kim@us.test ").status_code == 303
    assert world.sent == [("POST", "/v1/tasks/t1/reassign", {"assignee": "kim@us.test"})]


# -- many


def many(world: World, path: str, ids: list[str], **form: Any) -> httpx.Response:
    return world.post(path, task=ids, back="/tasks?status=open", **form)


def test_many_are_named_by_their_number_before_anything_happens() -> None:
    world = a_world(a_task(), a_task("t2", title="Other"), a_task("t3"))
    page = many(world, "/tasks/selected", ["t1", "t2", "gone"], do="complete").text
    assert "Complete 2 tasks?" in page
    assert "1 task is no longer in the list" in page
    assert 'name="task" value="t1"' in page
    assert 'value="t3"' not in page
    assert world.sent == []


def test_nothing_ticked() -> None:
    world = a_world(a_task())
    assert many(world, "/tasks/selected", [], do="complete").headers["location"] == "/tasks?status=open"
    assert many(world, "/tasks/selected", ["gone"], do="snooze").status_code == 303
    assert many(world, "/tasks/selected", ["t1"], do="erase").status_code == 303
    assert world.sent == []


def test_many_are_changed_those_that_were_named() -> None:
    answers = {
        "POST /v1/tasks/t1/complete": a_task(),
        "POST /v1/tasks/t2/complete": refusal(409, "the task is closed"),
    }
    world = a_world(a_task(), a_task("t2"), a_task("t3"), **answers)
    answer = many(world, "/tasks/selected/complete", ["t1", "t2"], note="all done")
    assert [path for _, path, _ in world.sent] == ["/v1/tasks/t1/complete", "/v1/tasks/t2/complete"]
    assert world.sent[0][2] == {"note": "all done"}
    assert answer.headers["location"] == "/tasks?status=open"
    assert "Completed 1 of 2 tasks. Left out: the task is closed." in world.get("/tasks?status=open").text
    assert summed_up("Snoozed", ["a"], []) == "Snoozed 1 task."


@pytest.mark.parametrize("doing", ["snooze", "reassign"])
def test_many_with_something_wrong_are_left_alone(doing: str) -> None:
    field = {"snooze": "until", "reassign": "assignee"}[doing]
    world = a_world(a_task(), **{f"POST /v1/tasks/t1/{doing}": refusal(422, "invalid", (field, "is wrong"))})
    page = many(world, f"/tasks/selected/{doing}", ["t1"], until="monday", assignee="x")
    assert page.status_code == 422
    assert "is wrong" in page.text
    assert "Choose a day." in many(world, "/tasks/selected/snooze", ["t1"], until="").text


# -- by hand


def test_a_task_is_made_once() -> None:
    world = a_world(a_task(), **{"POST /v1/tasks": (201, a_task("new"))})
    world.sign_in()
    world.cookies.set("touchline_zone", "Europe/Berlin")
    form = world.get("/tasks/new?account=acme").text
    assert 'value="acme"' in form
    assert 'value="jo@us.test"' in form
    answer = world.post(
        "/tasks", title="Call", account="acme", assignee="owner", due="2026-03-11T15:00", once="o1"
    )
    body = {"title": "Call", "account": "acme", "assignee": "owner", "due_at": "2026-03-11T14:00:00Z"}
    assert world.sent == [("POST", "/v1/tasks", body)]
    assert world.asked[-1].headers["idempotency-key"].rpartition("-")[0] == "o1"
    assert answer.headers["location"] == "/tasks/new" or answer.headers["location"].startswith("/tasks/")


def test_what_is_doubtful_is_said() -> None:
    doubt = {"field": "account", "message": "nothing is known of it"}
    world = a_world(a_task("t9"), **{"POST /v1/tasks": (201, a_task("t9", warnings=[doubt]))})
    world.post("/tasks", title="Call", assignee="owner")
    assert "Account: nothing is known of it." in world.get("/tasks/t9").text


def test_a_wrong_task_keeps_what_was_typed() -> None:
    wrong = refusal(422, "The task is invalid", ("assignee", "is no address"), ("due_at", "is too late"))
    page = a_world(**{"POST /v1/tasks": wrong}).post(
        "/tasks", title="My title", assignee="jo", due="2026-03-11"
    )
    assert page.status_code == 422
    assert "is no address" in page.text
    assert 'id="e-due"' in page.text
    assert 'value="My title"' in page.text
    assert "This is no date" in a_world().post("/tasks", title="x", due="never").text
