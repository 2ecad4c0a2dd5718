"""Notices go out by mail and webhook: once each, signed, tried again, and whatever else stands still."""

import asyncio
import email
import email.policy
import json
import threading
from collections.abc import Callable, Iterator

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from backbone import notices
from backbone.audit import AuditTrail
from backbone.settings import Settings
from schemas.notices import NoticeKind
from services.actions.channels.base import ChannelTrouble
from services.actions.delivery import sending_switch
from services.actions.notices import notifier
from services.actions.notices.mail_server import MailServerWatch
from services.actions.notices.notifier import Notifier, webhook_secret
from services.actions.tables import notice_messages
from tests.services.delivery.kit import House
from tests.unit.channels.helpers import SECRET, Server
from tests.unit.channels.test_webhook import Scripted

BUSY = b"HTTP/1.1 503 no\r\nContent-Length: 0\r\n\r\n"
FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def receiver() -> Iterator[tuple[Scripted, str]]:
    """An HTTP server for the webhooks, and its address."""
    script, loop = Scripted(), asyncio.new_event_loop()
    server = Server(script)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
    yield script, f"http://127.0.0.1:{server.port}/ops"

    async def end() -> None:
        await server.__aexit__()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for one in others:
            one.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    asyncio.run_coroutine_threadsafe(end(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def start(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Notifier]]:
    """Starts notifiers over the house's database."""
    monkeypatch.setattr(notifier, "LOOK_S", 0.02)
    monkeypatch.setattr(notifier, "PAUSES", (1_000,))
    made: list[Notifier] = []

    def begin(*, alone: bool = True, **settings: object) -> Notifier:
        given = house.settings.model_copy(update=settings)
        made.append(Notifier(given, house.db, house.clock, b"a key for tests only", alone=alone))
        made[-1].start()
        return made[-1]

    yield begin
    for one in made:
        one.stop()


def say(house: House, *, over: bool = False, kind: NoticeKind = NoticeKind.BREAKER) -> None:
    with house.db.write() as conn:
        if over:
            notices.clear(conn, kind, "renewal", house.clock.now())
        else:
            notices.raise_(conn, kind, "renewal", "21 plays within 1h", house.clock.now())


def done(house: House, number: int) -> Callable[[], bool]:
    return lambda: sum(row.done_at is not None for row in house.rows(notice_messages)) == number


def mails(house: House) -> list[email.message.EmailMessage]:
    files = sorted((house.settings.data_dir / "outbox").glob("*.eml"))
    return [email.message_from_bytes(one.read_bytes(), policy=email.policy.default) for one in files]


def test_raised_and_over_once_each_by_both_ways(
    house: House, start: Callable[..., Notifier], receiver: tuple[Scripted, str]
) -> None:
    script, url = receiver
    script.answer = FINE
    for _ in range(2):  # two processes
        start(alone=False, ops_email="ops@us.test", ops_webhook=SecretStr(f"{url}#{SECRET}"))
    for _ in range(3):
        say(house)
    house.until(done(house, 2))
    say(house, over=True)
    house.until(done(house, 4))
    bodies = [Webhook(SECRET).verify(body, headers) for headers, body in script.requests]
    assert [(one["kind"], one["object"], one["status"]) for one in bodies] == [
        ("breaker", "renewal", "raised"),
        ("breaker", "renewal", "over"),
    ]
    assert "21 plays within 1h" in bodies[0]["text"]
    assert bodies[0]["over_at"] is None
    assert bodies[1]["over_at"] > bodies[1]["raised_at"]
    subjects = sorted(one["subject"] for one in mails(house))
    assert subjects == [
        "[Touchline] The playbook renewal began more plays than its limit allows, and is paused",
        "[Touchline] The playbook renewal goes on",
    ]
    assert {one["to"] for one in mails(house)} == {"ops@us.test"}
    assert not any("List-Unsubscribe" in one for one in mails(house))


def test_it_is_tried_again_under_the_same_id_until_it_is_taken(
    house: House, start: Callable[..., Notifier], receiver: tuple[Scripted, str]
) -> None:
    script, url = receiver
    script.answer = BUSY
    say(house)
    start(ops_webhook=SecretStr(url))
    house.until(lambda: len(script.requests) >= 3)
    say(house, over=True)
    assert not done(house, 1)()
    script.answer = FINE
    house.until(done(house, 2))
    told = [(headers["webhook-id"], json.loads(body)["status"]) for headers, body in script.requests]
    assert len(set(told[:-1])) == 1
    assert told[0][1] == "raised"  # the end waits for the beginning
    assert told[-1][1] == "over"
    (row, _) = house.rows(notice_messages)
    assert row.detail.startswith("done")


def test_an_endpoint_that_refuses_for_good_does_not_hold_up_the_mail(
    house: House, start: Callable[..., Notifier], receiver: tuple[Scripted, str]
) -> None:
    script, url = receiver
    script.answer = b"HTTP/1.1 404 no\r\nContent-Length: 0\r\n\r\n"
    start(ops_email="ops@us.test", ops_webhook=SecretStr(url))
    say(house)
    house.until(lambda: len(mails(house)) == 1 and len(script.requests) >= 2)
    assert done(house, 1)()


def test_the_switch_that_stops_all_mails_is_told_of_by_mail(
    house: House, start: Callable[..., Notifier]
) -> None:
    start(ops_email="ops@us.test")
    trail = AuditTrail(house.clock, "actions", "jo", "PUT")
    sending_switch.turn(house.db, house.clock, trail, off=True, reason="wrong prices")
    house.until(lambda: len(mails(house)) == 1)
    (mail,) = mails(house)
    assert mail["subject"] == "[Touchline] Sending is off: no mail and no webhook goes out"
    assert "by the key jo: wrong prices" in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    sending_switch.turn(house.db, house.clock, trail, off=False, reason=None)
    house.until(lambda: len(mails(house)) == 2)


def test_a_staging_system_tells_only_whom_it_may(house: House, start: Callable[..., Notifier]) -> None:
    say(house)
    start(ops_email="ops@us.test", mail_only_to=("test.example",))
    house.until(done(house, 1))
    assert mails(house) == []


def test_with_nobody_to_tell_nothing_is_made(house: House, start: Callable[..., Notifier]) -> None:
    say(house)
    assert start().ways == []
    assert house.rows(notice_messages) == []


def test_the_secret_is_the_one_given_or_this_installations_own(house: House) -> None:
    def of(url: str, key: bytes = b"one") -> str:
        return webhook_secret(house.settings.model_copy(update={"ops_webhook": SecretStr(url)}), key)

    assert of(f"https://x.test/#{SECRET}") == SECRET
    assert of("https://x.test/#MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") == SECRET
    assert of("https://x.test/") == of("https://y.test/") != of("https://x.test/", b"other")
    Webhook(of("https://x.test/"))  # readable


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ops_email", "*@us.test", "no address"),
        ("ops_webhook", "ftp://x.test", "http or https"),
        ("ops_webhook", "https://x.test/#short", "what follows #"),
        ("ops_webhook", "https://jo:pw@x.test/", "user name"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(name: str, value: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Settings(**{name: value}, _env_file=None)  # type: ignore[arg-type,call-arg]


def test_the_mail_servers_last_sign_counts(house: House) -> None:
    watch = MailServerWatch(house.db, house.clock.now)

    def is_open() -> bool:
        with house.db.read() as conn:
            return bool(notices.open_notices(conn, NoticeKind.MAIL_SERVER_REFUSES))

    watch.write()
    assert not is_open()
    trouble = ChannelTrouble(since=1, detail="connection: refused")
    for _ in range(2):
        watch.note(trouble)
        watch.write()
    assert is_open()
    another = MailServerWatch(house.db, house.clock.now)
    another.write()  # it has met nothing, and says nothing
    assert is_open()
    watch.note(trouble)
    another.note(None)  # another process got its mail through
    another.write()
    assert not is_open()
