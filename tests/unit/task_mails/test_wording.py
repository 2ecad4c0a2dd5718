"""What mails about tasks say, whoever chose the titles and names."""

import email
import email.policy
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.event import microseconds
from services.actions.channels.email.message import build
from services.actions.rendering.jobs import Mail
from services.actions.task_mails import wording
from services.actions.task_mails.letter import Letter, Link, rendered
from services.actions.task_mails.schedule import Day
from services.actions.task_mails.wording import Morning, Reader, ShownTask

HOUR = 3_600_000_000
NOW = microseconds(datetime(2026, 12, 1, 7, tzinfo=UTC))
READER = Reader("jo@us.test", "Europe/Paris", "https://touchline.test")
TRIGGER = {
    "rule": "support-spike", "reason": "threshold_reached", "value": 12, "threshold": 10, "tier": "high",
    "at": "2026-11-28T16:20:00Z", "value_exact": True,
}  # fmt: skip
ODD = st.text(st.characters(codec=None) | st.sampled_from("\r\n\0<>&\"'=?@:\u202e\x0b\u2028"), max_size=60)


def task(**fields: object) -> ShownTask:
    given: dict[str, object] = {
        "id": "act_1",
        "title": "Call Acme",
        "account": "acme",
        "account_name": "Acme",
    }
    return ShownTask(**(given | fields))  # type: ignore[arg-type]


def mail(letter: Letter) -> Mail:
    return rendered(letter, {"name": "Us"}, Link("Settings", "https://touchline.test/settings"))


def content(made: Mail) -> dict[str, object]:
    sender = {"name": "Touchline", "email": "touchline@us.test"}
    to = {"name": None, "email": READER.address}
    return {"subject": made.subject, "html": made.html, "text": made.text, "from": sender, "to": to}


class Tags(HTMLParser):
    """Collects tags, and where links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links |= {value or "" for name, value in attrs if name == "href"}
        assert not any(name.startswith("on") or name == "src" for name, _ in attrs)


def tags(made: Mail) -> Tags:
    found = Tags()
    found.feed(made.html)
    return found


def test_one_task_says_what_why_by_when_and_where() -> None:
    due = NOW + 26 * HOUR
    made = mail(
        wording.made([task(due_at=due, trigger=TRIGGER, priority="high", body="Ask.\nTell.")], READER, NOW)
    )
    assert made.subject == "Call Acme"
    for part in (made.text, re.sub(r"<[^>]+>", "", made.html)):
        assert "tomorrow, 10:00 (Europe/Paris)" in part
        assert (
            "The rule support-spike fired on Sat 28 Nov, 17:20: its value was 12, and the threshold of the"
            in part
        )
        assert "Ask." in part
        assert "high" in part
        assert "because this task is yours now" in part
        assert "can turn mails about tasks off" in part
    assert {
        "https://touchline.test/tasks/act_1",
        "https://touchline.test/accounts/acme",
    } <= (tags(made).links)
    assert "Unsubscribe" not in made.html
    assert "Unsubscribe" not in build("tm_1", content(made), "bounces@us.test").message(NOW).decode()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"title": "Call them"}, "Call them (Acme)"),
        ({"title": "Call them", "account": "", "account_name": None}, "Call them"),
        ({"title": "call ACME today"}, "call ACME today"),
        ({"title": " \r\n "}, "Task (Acme)"),
        ({"title": "x" * 500}, "x" * 199 + "… (Acme)"),
    ],
)
def test_the_subject_names_the_account_once(fields: dict[str, object], words: str) -> None:
    assert mail(wording.made([task(**fields)], READER, NOW)).subject == words


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "Somebody made it by hand."),
        ({"handed_over": True}, "Somebody handed it over to you."),
        ({"approves": True}, "An email waits for your approval. Nothing is sent before you decide."),
        (
            {"trigger": TRIGGER | {"reason": "absent"}},
            "fired on Sat 28 Nov, 17:20: no matching event came within",
        ),
        ({"trigger": TRIGGER | {"reason": "of another release"}}, "its reason is not known here."),
        ({"trigger": TRIGGER | {"value": None}}, "the value of the window satisfies the threshold"),
        ({"trigger": TRIGGER | {"value_exact": False}}, "its value was at least 12, and"),
    ],
)
def test_every_reason_is_said(fields: dict[str, object], words: str) -> None:
    assert words in wording.why(task(**fields), READER, NOW)


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (None, "no due date"), (-1, "overdue since today, 07:00"), (-24, "overdue since yesterday, 08:00"),
        (1, "due today, 09:00"), (17, "due tomorrow, 01:00"), (24 * 40, "due Sun 10 Jan 2027, 08:00"),
        (10**8, "due "), (-(24 * 90), "overdue since Wed 2 Sep, 09:00"),
    ],
)  # fmt: skip
def test_due_dates_are_by_the_readers_clock(hours: int | None, words: str) -> None:
    due = None if hours is None else min(NOW + hours * HOUR, 253_402_300_799_000_000)
    several = wording.made([task(due_at=due), task(id="act_2")], READER, NOW)
    assert words in mail(several).text


def test_many_tasks_are_one_mail_that_lists_the_first() -> None:
    made = mail(wording.made([task(id=f"act_{n}") for n in range(25)], READER, NOW))
    assert made.subject == "25 tasks for you"
    assert "and 5 more" in made.text
    assert sum("/tasks/act_" in link for link in tags(made).links) == wording.LISTED


def test_the_morning_counts_all_and_lists_the_first() -> None:
    parts = [
        [task(id=f"act_{part}{n}", due_at=NOW) for n in range(count)] for part, count in enumerate((2, 0, 18))
    ]
    found = Morning(parts[0], parts[1], parts[2], (2, 0, 1_200), 1)
    made = mail(wording.morning(found, Day.at(NOW, READER.zone), READER, NOW))
    assert made.subject == "Your tasks: 2 overdue, 1,200 due this week"
    assert "Due today" not in made.html
    assert "Overdue (2)" in made.html
    assert "Due this week (1,200)" in made.html
    assert "and 1,182 more" in made.text
    assert "1 open task is due later or at no set time" in made.text
    assert made.text.startswith("Tuesday, 1 December\n")


@settings(max_examples=25)
@given(title=ODD, name=ODD, body=ODD, account=ODD, priority=ODD, rule=ODD)
def test_no_name_becomes_a_header_a_tag_or_a_link(
    title: str, name: str, body: str, account: str, priority: str, rule: str
) -> None:
    hostile = task(
        title=title, account_name=name, body=body, account=account.encode("utf-8", "replace").decode(),
        priority=priority, trigger=TRIGGER | {"rule": rule}, due_at=NOW,
    )  # fmt: skip
    plain = tags(mail(wording.made([task(body="x", priority="x", trigger=TRIGGER, due_at=NOW)], READER, NOW)))
    for tasks in ([hostile], [hostile, hostile]):
        made = mail(wording.made(tasks, READER, NOW))
        assert tags(made).tags <= plain.tags | {"ul", "li", "span", "br"}
        assert all(link.startswith("https://touchline.test/") for link in tags(made).links)
        read = email.message_from_bytes(
            build("tm_1", content(made), "bounces@us.test").message(NOW), policy=email.policy.default
        )
        assert not read.defects
        assert set(read) >= {"From", "To", "Subject"}
        assert {"Bcc", "Cc", "Reply-To", "List-Unsubscribe"}.isdisjoint(read)
        assert read["To"] == READER.address


def test_a_header_in_a_title_stays_in_the_subject() -> None:
    made = mail(
        wording.made([task(title="Call\r\nBcc: all@evil.test\r\n\r\n<script>x</script>")], READER, NOW)
    )
    assert made.subject == "Call Bcc: all@evil.test <script>x</script> (Acme)"
    assert "<script" not in made.html
    message = build("tm_1", content(made), "b@us.test").message(NOW)
    assert not re.search(rb"^Bcc:", message, re.M)
