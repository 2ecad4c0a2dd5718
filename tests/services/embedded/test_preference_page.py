"""The page behind the link in a mail: topics with their titles, a way out of each, and a way back."""

import email
import email.policy
import re
from collections.abc import Iterator
from typing import Any

import pytest

from services.actions.api import preference_page
from services.actions.storage.preferences import Choice, ListedTopic
from tests.services.embedded.mail_kit import Server, started
from tests.unit.feedback.samples import POSTMARK_BOUNCE, about

TOPIC = {"title": "Greetings & more", "description": "We say hello."}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(tmp_path_factory.mktemp("preferences")) as made:
        assert made.call("PUT", "/v1/topics/hello", json=TOPIC)["version"] == 1
        assert made.call("PUT", "/v1/topics/news", json={"title": "Product <b>news</b>"})["title"]
        yield made


class Page:
    """What a reader sees and presses."""

    def __init__(self, server: Server) -> None:
        self._server, self.action = server, server.mail()
        (path,) = (server.rooms.settings.data_dir / "outbox").glob(f"*{self.action}.eml")
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        self.path = "/u/" + mail["List-Unsubscribe"].strip("<>").rpartition("/")[2]

    def look(self) -> str:
        answer = self._server.http.get(self.path)
        assert answer.status_code == 200
        return answer.text

    def press(self, **fields: str) -> str:
        answer = self._server.http.post(self.path, data=fields)
        assert answer.status_code == 200
        return answer.text

    def suppressed(self) -> list[tuple[str | None, str]]:
        address = self._server.action(self.action)["recipient"]
        items = self._server.call("GET", "/v1/suppressions", params={"address": address})["items"]
        return sorted(((one["topic"], one["origin"]) for one in items), key=str)


def test_a_topic_is_a_document(server: Server) -> None:
    shown = server.call("GET", "/v1/topics/hello")
    assert {**TOPIC, "name": "hello"}.items() <= shown.items()
    assert server.call("PUT", "/v1/topics/hello", json=shown)["version"] == shown["version"] + 1
    assert [one["name"] for one in server.call("GET", "/v1/topics")["items"]] == ["news", "hello"]
    key = {"authorization": f"Bearer {server.key}"}
    titles: list[Any] = ["", " ", "a\nb", 7, None, "x" * 101]
    for wrong in ({}, {"titel": "x"}, *({"title": title} for title in titles)):
        answer = server.http.put("/v1/topics/odd", json=wrong, headers=key)
        assert answer.status_code == 422, wrong
        assert answer.json()["errors"][0]["field"] in ("title", "titel")
    assert server.http.put("/v1/topics/odd", json=TOPIC).status_code == 401


def test_every_topic_of_a_playbook_can_have_a_title(server: Server) -> None:
    book = {"topic": "product news 2.0", "steps": [{"email": {"template": "hello"}}]}
    assert server.call("PUT", "/v1/playbooks/newsletter", json=book)["topic"] == "product news 2.0"
    made = server.call("PUT", "/v1/topics/product news 2.0", json={"title": "What is new"})
    assert made["name"] == "product news 2.0"
    assert server.call("GET", "/v1/topics/product%20news%202.0")["title"] == "What is new"
    assert "What is new" in Page(server).look()
    server.call("DELETE", "/v1/topics/product%20news%202.0")


def test_the_page_shows_topics_and_changes_nothing(server: Server) -> None:
    page = Page(server)
    for _ in range(2):
        text = page.look()
        assert "Greetings &amp; more" in text
        assert "We say hello." in text
        assert "Product &lt;b&gt;news&lt;/b&gt;" in text
        assert "<script" not in text
        assert text.count("You get these mails") == 2
    assert page.suppressed() == []


def test_a_way_out_of_each_and_a_way_back(server: Server) -> None:
    page = Page(server)
    assert "You are unsubscribed" in page.press(**{"List-Unsubscribe": "One-Click"})
    assert page.suppressed() == [("hello", "page")]
    text = page.press(stop="news")
    assert "no more mails about <strong>Product &lt;b&gt;news&lt;/b&gt;</strong>" in text
    assert page.suppressed() == [("hello", "page"), ("news", "page")]
    assert "Welcome back" in page.press(back="hello")
    assert page.suppressed() == [("news", "page")]
    assert "no more mails from us" in page.press(topics="all")
    assert re.findall(r'<li class="(\w+)">', page.look()) == ["off", "off"]
    assert "Welcome back" in page.press(back="hello")
    assert re.findall(r'<li class="(\w+)">', page.look()) == ["on", "off"]
    assert "Welcome back" in page.press(topics="back")
    assert page.suppressed() == []


def test_it_gets_no_mail_and_gets_mail_again(server: Server) -> None:
    page = Page(server)
    account = server.action(page.action)["account"]

    def again() -> Any:
        known = {one["id"] for one in server.call("GET", "/v1/actions", params={"account": account})["items"]}
        for play in server.call("GET", "/v1/plays", params={"account": account, "status": "open"})["items"]:
            server.call("POST", f"/v1/plays/{play['id']}/exit", json={})
        body = {"subjects": [{"account": account}]}
        key = {"authorization": f"Bearer {server.key}", "idempotency-key": f"{account}-{len(known)}"}
        assert server.http.post("/v1/rules/hello/start", json=body, headers=key).status_code == 200

        def ended() -> Any:
            items = server.call("GET", "/v1/actions", params={"account": account})["items"]
            return next((one for one in items if one["id"] not in known and one["done_at"]), None)

        return server.until(ended)

    page.press(topics="all")
    stopped = again()
    assert (stopped["status"], stopped["reason"]) == ("skipped", "suppressed")
    page.press(back="hello")
    assert again()["status"] == "done"
    page.press()
    assert again()["reason"] == "suppressed"


@pytest.mark.parametrize("by", ["hand", "bounce"])
def test_what_no_page_did_no_page_lifts(server: Server, by: str) -> None:
    page = Page(server)
    page.press(topics="all")
    if by == "hand":
        address = server.action(page.action)["recipient"]
        server.call("POST", "/v1/suppressions", json={"address": address, "reason": "asked by phone"})
    else:
        assert server.told("postmark", about(POSTMARK_BOUNCE, page.action))["matched"] == 1
    for fields in ({"back": "hello"}, {"back": "news"}, {"topics": "back"}):
        assert "Nothing has changed" in page.press(**fields)
    assert page.suppressed() == [(None, by)]
    assert "Not sent to this address any more" in page.look()


@pytest.mark.parametrize(
    "fields",
    [
        {"stop": "nobody-knows"},
        {"stop": "x" * 3_000},
        {"back": "hello"},
        {"back": "x"},
        {"topics": "back"},
    ],
)
def test_a_button_that_the_page_does_not_have_does_nothing(server: Server, fields: dict[str, str]) -> None:
    page = Page(server)
    page.press(**fields)
    assert page.suppressed() == []


def test_names_of_topics_stay_text() -> None:
    odd = '"><script>alert(1)</script>'
    topics = [ListedTopic(odd, odd, odd, choice) for choice in (Choice.ON, Choice.OFF, Choice.CLOSED)]
    for _, body in (
        preference_page.asking(odd, topics),
        preference_page.asking(odd, topics[1:]),
        preference_page.changed(odd, topics, odd, None),
        preference_page.changed(odd, topics, None, odd),
        preference_page.changed(None, topics, None, None),
    ):
        assert "<script" not in body
        assert '">' + "<script" not in body
