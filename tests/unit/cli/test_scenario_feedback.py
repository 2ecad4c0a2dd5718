"""What comes back of mails in a scenario: as on a server, and a scenario without it comes out otherwise."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.documents import FileProblems
from services.cli.scenario import renderer, run
from services.cli.scenario_shown import fits

JSON = dict[str, Any]
ANN, BOB = {"id": "ann", "email": "ann@acme.test"}, {"id": "bob", "email": "BOB@acme.test"}
DOCUMENTS: list[JSON] = [
    {"kind": "rule", "name": "greet", "playbook": "greet", "cooldown": "0s", "scope": "contact",
     "when": {"threshold": {"event": "greeted", "within": "1d", "at_least": 1}}},
    {"kind": "rule", "name": "lost", "playbook": "lost", "cooldown": "0s", "scope": "contact",
     "when": {"threshold": {"event": ["touchline.email.bounced", "touchline.email.complained"], "at_least": 1}}},
    {"kind": "playbook", "name": "greet", "steps": [{"id": "write", "email": {"template": "hello"}}]},
    {"kind": "playbook", "name": "lost", "steps": [{"id": "ask", "task": {"title": "Ask", "key": "{{ trigger.id }}"}}]},
    {"kind": "template", "name": "hello", "subject": "Hello", "markdown": "Hello"},
]  # fmt: skip


def at(day: int, hour: int = 9) -> str:
    return f"2026-01-{day:02}T{hour:02}:00:00Z"


def greeted(*days: int, contact: str = "ann", account: str = "acme") -> list[JSON]:
    return [{"at": at(day), "account": account, "type": "greeted", "contact": contact} for day in days]


def mail(day: int, hour: int = 9, **more: Any) -> JSON:
    return {"channel": "email", "at": at(day, hour), **more}


def gone(day: int, **more: Any) -> JSON:
    return mail(day, status="skipped", reason="suppressed", **more)


def differences(
    folder: Path, feedback: list[JSON], events: list[JSON], *, documents: list[JSON] = DOCUMENTS, **more: Any
) -> list[Any]:
    (folder / "documents.yaml").write_text(yaml.safe_dump_all(documents))
    other = {**BOB, "email": "ann@acme.test"}
    test = {
        "load": ["documents.yaml"], "events": events, "feedback": feedback, "until": at(28),
        "accounts": {"acme": {"tier": "low", "contacts": [ANN, BOB]}, "twin": {"tier": "low", "contacts": [other]}},
        **more,
    }  # fmt: skip
    file = folder / "mail.test.yaml"
    file.write_text(yaml.safe_dump(test))
    with renderer() as render:
        return run(file, render)


def actions(folder: Path, feedback: list[JSON], events: list[JSON], *wanted: JSON, **more: Any) -> list[Any]:
    """The differences in the mails; the tasks that events about them lead to are left out."""
    documents = [one for one in more.pop("documents", DOCUMENTS) if one.get("name") != "lost"]
    return differences(
        folder, feedback, events, documents=documents, expect={"actions": list(wanted)}, **more
    )


@pytest.mark.parametrize(
    ("kind", "reason", "stops"),
    [
        ("hard_bounce", "bounced", True),
        ("soft_bounce", "bounced", False),
        ("not_sent", "bounced", False),
        ("complaint", "complained", True),
    ],
)
def test_each_report_has_its_reason_and_stops_the_address_or_not(
    tmp_path: Path, kind: str, reason: str, stops: bool
) -> None:
    report = [{"at": at(2), kind: {"account": "acme"}}]
    second = gone(3) if stops else mail(3)
    assert actions(tmp_path, report, greeted(1, 3), mail(1, reason=reason), second) == []
    assert actions(tmp_path, [], greeted(1, 3), mail(1, reason=None), mail(3)) == []


def test_an_event_tells_once_and_the_kind_with_it(tmp_path: Path) -> None:
    first = mail(1)
    reports = [{"at": at(2), "soft_bounce": first}, {"at": at(3), "soft_bounce": {"at": at(1)}}]
    reports += [{"at": at(4), "hard_bounce": {"at": at(1)}}, {"at": at(5), "complaint": {"at": at(1)}}]
    triggers = [
        {"rule": "greet", "at": at(1)},
        {"rule": "lost", "at": at(2), "contact": "ann"},
        {"rule": "lost", "at": at(5), "contact": "ann"},
    ]
    assert differences(tmp_path, reports, greeted(1), expect={"triggers": triggers}) == []
    kinds = [*DOCUMENTS]
    kinds[1] = {**kinds[1], "where": {"data.kind": "complaint"}}
    told = [triggers[0], triggers[2]]
    assert differences(tmp_path, reports, greeted(1), documents=kinds, expect={"triggers": told}) == []


def test_three_soft_bounces_of_different_mails_within_seven_days_stop_the_address(tmp_path: Path) -> None:
    def soft(*days: int) -> list[JSON]:
        return [{"at": at(day, 10), "soft_bounce": {"at": at(day)}} for day in days]

    close, far = (1, 4, 7), (1, 4, 8)
    assert actions(
        tmp_path, soft(*close), greeted(*close, 9), *(mail(day) for day in close), gone(9)
    ) == []  # fmt: skip
    assert actions(tmp_path, soft(*far), greeted(*far, 9), *(mail(day) for day in (*far, 9))) == []
    thrice = [{"at": at(1, hour), "soft_bounce": {"at": at(1)}} for hour in (10, 11, 12)]
    assert actions(tmp_path, thrice, greeted(1, 9), mail(1), mail(9)) == []


def test_the_address_is_meant_whoever_has_it_and_however_it_is_written(tmp_path: Path) -> None:
    """Its other contacts, in other accounts, get no mail; others in the account do."""
    report = [{"at": at(2), "complaint": {"contact": "ann"}}]
    events = [*greeted(1), *greeted(3, contact="bob"), *greeted(3, contact="bob", account="twin")]
    wanted = mail(1), mail(3, account="acme"), gone(3, account="twin")
    assert actions(tmp_path, report, events, *wanted) == []
    own = [{"at": at(2), "complaint": {"contact": "bob"}}]
    events = [*greeted(1, contact="bob"), *greeted(3, contact="bob")]
    assert actions(tmp_path, own, events, mail(1), gone(3)) == []


def test_a_mail_that_waits_for_its_hour_is_looked_at_when_it_begins(tmp_path: Path) -> None:
    events = [*greeted(1), {**greeted(1)[0], "at": at(1, 20)}]
    report = [{"at": at(1, 23), "hard_bounce": {"at": at(1)}}]
    documents = [*DOCUMENTS, {"kind": "policy", "hours": {"from": "08:00", "to": "18:00"}}]
    late = mail(2, 8, due_at=at(1, 20))
    skipped = {"due_at": at(1, 20), "status": "skipped", "reason": "suppressed"}
    assert actions(tmp_path, [], events, mail(1), late, documents=documents) == []
    assert actions(tmp_path, report, events, mail(1), skipped, documents=documents) == []


def test_a_mail_to_such_an_address_takes_nobodys_place_under_a_cap(tmp_path: Path) -> None:
    events = [
        *greeted(1),
        {**greeted(1)[0], "at": at(1, 20)},
        {**greeted(1, contact="bob")[0], "at": at(1, 21)},
    ]
    report = [{"at": at(1, 23), "hard_bounce": {"at": at(1)}}]
    cap = {"at_most": 1, "within": "6h", "per": "account"}
    documents = [*DOCUMENTS, {"kind": "policy", "hours": {"from": "08:00", "to": "18:00"}, "caps": [cap]}]
    held = mail(2, 8, contact="ann"), mail(2, 14, contact="bob")
    stopped = {"contact": "ann", "status": "skipped", "reason": "suppressed"}
    assert actions(tmp_path, [], events, mail(1), *held, documents=documents) == []
    assert (
        actions(tmp_path, report, events, mail(1), stopped, mail(2, 8, contact="bob"), documents=documents)
        == []
    )


@pytest.mark.parametrize(
    ("reported", "left_out"), [(at(1, 23), at(2, 9)), ("2026-01-02T09:30:00Z", at(2, 10))]
)
def test_a_digest_goes_to_no_such_address(tmp_path: Path, reported: str, left_out: str) -> None:
    """Reported before the digest is put together, and while its mail waits for its hour."""
    step = {"id": "write", "digest": {"template": "hello", "at": "09:00"}}
    documents = [*DOCUMENTS, {"kind": "playbook", "name": "news", "steps": [step]}]
    documents.append({**DOCUMENTS[0], "name": "news", "playbook": "news",
                      "when": {"threshold": {"event": "news", "within": "1d", "at_least": 1}}})  # fmt: skip
    documents.append({"kind": "policy", "hours": {"from": "10:00", "to": "20:00"}})
    events = [{**greeted(1)[0], "at": at(1, 12)}, {**greeted(1)[0], "at": at(1, 20), "type": "news"}]
    report = [{"at": reported, "hard_bounce": {"playbook": "greet"}}]
    first, digest = mail(1, 12), mail(2, 10, playbook="news")
    skipped = {"playbook": "news", "status": "skipped", "reason": "suppressed", "done_at": left_out}
    assert actions(tmp_path, [], events, first, digest, documents=documents) == []
    assert actions(tmp_path, report, events, first, skipped, documents=documents) == []


def test_a_mail_that_is_approved_too_late_is_not_sent(tmp_path: Path) -> None:
    asked = {"id": "write", "email": {"template": "hello", "approve": True, "approver": "jo@us.test"}}
    documents = [*DOCUMENTS, {"kind": "playbook", "name": "offer", "steps": [asked]}]
    documents.append({**DOCUMENTS[0], "name": "offer", "playbook": "offer",
                      "when": {"threshold": {"event": "offered", "within": "1d", "at_least": 1}}})  # fmt: skip
    events = [*greeted(1), {"at": at(1), "account": "acme", "type": "offered", "contact": "ann"}]
    by_hand = [{"at": at(3), "approve": {"playbook": "offer"}}]
    report = [{"at": at(2), "hard_bounce": {"playbook": "greet"}}]
    first = mail(1, playbook="greet")
    skipped = {"playbook": "offer", "status": "skipped", "reason": "suppressed"}
    assert actions(tmp_path, report, events, first, skipped, documents=documents, by_hand=by_hand) == []
    sent = mail(3, playbook="offer")
    assert actions(tmp_path, [], events, first, sent, documents=documents, by_hand=by_hand) == []


def test_at_a_moment_what_comes_back_follows_the_mail(tmp_path: Path) -> None:
    report = [{"at": at(1), "hard_bounce": {}}]
    assert actions(tmp_path, report, greeted(1, 2), mail(1, reason="bounced"), gone(2)) == []


def test_what_went_out_to_nobody_cannot_come_back(tmp_path: Path) -> None:
    wrong = {"at": at(2), "hard_bounce": {"account": "twin"}}
    (found,) = differences(tmp_path, [wrong], greeted(1), expect={})
    assert (found.what, found.missing) == ("feedback", [wrong])
    assert fits(f"no mail that went out by {at(2)} is like that", found.why[0])


@pytest.mark.parametrize("wrong", [{}, {"hard_bounce": {}, "complaint": {}}])
def test_a_report_is_of_one_kind(tmp_path: Path, wrong: JSON) -> None:
    message = r"feedback\.0: .*one of hard_bounce, soft_bounce, not_sent and complaint"
    with pytest.raises(FileProblems, match=message):
        differences(tmp_path, [{"at": at(3), **wrong}], [], expect={})
