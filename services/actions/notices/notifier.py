"""Sends notices by mail and webhook, in a thread and with connections of its own, so that nothing waits for it.

It uses the channels' code, and nothing else of delivery: no switch, suppression or cap holds a notice. A message that
fails is tried again for three days; one that may have arrived is not. A process that is killed in between leaves a
message claimed for two minutes, and then it is sent again: told twice is better than not told.
"""

import asyncio
import hmac
import threading
from base64 import b64encode
from collections.abc import Mapping, Sequence
from email.utils import parseaddr
from hashlib import sha256

from backbone.clock import Clock
from backbone.database import Database
from backbone.errors import TouchlineError
from backbone.settings import Settings
from backbone.telemetry import get_logger
from schemas.endpoint import SECRET_PREFIX
from services.actions.channels.base import Channel, ChannelContext, Target
from services.actions.channels.email.channel import email_channel
from services.actions.channels.senders import Sender
from services.actions.channels.webhook.channel import webhook_channel
from services.actions.channels.webhook.ssrf import networks
from services.actions.notices import wording
from services.actions.notices.wording import NoticeMessage
from services.actions.plays.model import Leased
from services.actions.plays.retry_policy import HOUR, MINUTE, SECOND, Outcome
from services.actions.storage import notice_messages as messages

PAUSES = (5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR)  # then always the last
GIVE_UP_US = 72 * HOUR
LOOK_S = 1.0
TRY_S = 90.0  # the longest try; a claim lasts longer
STOP_S = 5.0
TIDY_S = 3_600.0
ANYWHERE = networks(["0.0.0.0/0", "::/0"])  # whoever sets our environment may send us anywhere

log = get_logger("touchline.notices")


def webhook_secret(settings: Settings, key: bytes) -> str:
    """The secret that signs the webhook: the one after `#` in its address, else one made from the signing key."""
    given = settings.ops_webhook.get_secret_value().partition("#")[2] if settings.ops_webhook else ""
    made = b64encode(hmac.new(key, b"touchline notices", sha256).digest()).decode()
    return SECRET_PREFIX + (given.removeprefix(SECRET_PREFIX) or made)


class Notifier:
    """Sends what is raised and what is over, each once by each way that the settings name.

    `alone`: no other process works on this database, so claims of earlier ones end at once.
    """

    def __init__(self, settings: Settings, db: Database, clock: Clock, key: bytes, *, alone: bool) -> None:
        self._settings, self._db, self._clock, self._alone = settings, db, clock, alone
        self._secret = webhook_secret(settings, key)
        self.ways: Sequence[str] = [
            way
            for way, given in (("email", settings.ops_email), ("webhook", settings.ops_webhook))
            if given is not None
        ]
        name, address = parseaddr(settings.sender)
        self._sender = {"name": name or None, "email": address}
        self._channels: Mapping[str, Channel] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="actions-notices", daemon=True)

    def start(self) -> None:
        """Begin, if there is anybody to tell."""
        if self.ways:
            self._thread.start()

    def stop(self) -> None:
        """Stop; a try under way is left to its end for a moment, then to whoever comes after us."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        self._channels = self._made()
        tidy_at, begun = loop.time(), False
        while not self._stopping.is_set():
            try:
                if not begun:
                    await asyncio.to_thread(self._begin)
                    begun = True
                for message, tries, made_at in await asyncio.to_thread(self._due):
                    self._start(message, tries, made_at)
                if loop.time() >= tidy_at:
                    await asyncio.to_thread(self._tidy)
                    tidy_at = loop.time() + TIDY_S
            except TouchlineError:
                pass  # the database is away: others say so
            except Exception:
                log.exception("notices cannot be looked at")
            await asyncio.to_thread(self._stopping.wait, LOOK_S)
        if self._under_way:
            await asyncio.wait(self._under_way.values(), timeout=STOP_S / 2)
        for channel in self._channels.values():
            await channel.close()

    def _made(self) -> dict[str, Channel]:
        url = self._settings.ops_webhook.get_secret_value() if self._settings.ops_webhook else ""
        target = Target(url=url.partition("#")[0], secret=self._secret)
        settings = self._settings.model_copy(update={"webhook_allowed_networks": ANYWHERE})
        context = ChannelContext(settings, lambda _: target, now=self._clock.now, on_health=lambda _: None)
        senders: dict[str, Sender] = {"email": email_channel, "webhook": webhook_channel}
        return {way: senders[way](context) for way in self.ways}

    # -- one message

    def _start(self, message: NoticeMessage, tries: int, made_at: int) -> None:
        name = f"{message.id} {message.way}"
        if name not in self._under_way:
            task = asyncio.create_task(self._send(message, tries, made_at))
            self._under_way[name] = task
            task.add_done_callback(lambda _: self._under_way.pop(name, None))

    async def _send(self, message: NoticeMessage, tries: int, made_at: int) -> None:
        try:
            if await asyncio.to_thread(self._claimed, message):
                outcome = await self._tried(message, made_at)
                await asyncio.to_thread(self._note, message, tries + 1, made_at, outcome)
        except TouchlineError:
            pass  # the database went away: the claim runs out
        except Exception:
            log.exception("what became of a notice cannot be written", notice=message.id, way=message.way)

    async def _tried(self, message: NoticeMessage, made_at: int) -> Outcome:
        channel = self._channels[message.way]
        try:
            async with asyncio.timeout(TRY_S):
                ready = await channel.prepare(self._action(message, made_at))
                return ready if isinstance(ready, Outcome) else await ready.send(made_at)
        except TimeoutError:
            return Outcome(kind="temporary", reason="timeout", detail=f"no answer within {TRY_S:g} s")
        except Exception as error:
            log.exception("a notice cannot be sent", notice=message.id, way=message.way)
            return Outcome(kind="temporary", detail=type(error).__name__)

    def _action(self, message: NoticeMessage, made_at: int) -> Leased:
        where = self._settings.base_url
        to = self._settings.ops_email or ""
        content = (
            wording.mail(message, self._sender, to, where)
            if message.way == "email"
            else {"body": wording.webhook(message, where)}
        )
        return Leased(
            id=message.id, play="", playbook="", account="", contact=None, channel=message.way, step="",
            recipient=to if message.way == "email" else "ops", topic="", attempts=0, due_at=made_at,
            rendered=content, interrupted=False,
        )  # fmt: skip

    # -- the database, in threads of their own

    def _begin(self) -> None:
        if self._alone:
            with self._db.write() as conn:
                messages.let_go(conn)

    def _due(self) -> list[tuple[NoticeMessage, int, int]]:
        now = self._clock.now()
        with self._db.read() as conn:
            lacking = messages.lacking(conn, self.ways, now)
        if lacking:
            with self._db.write() as conn:
                messages.make(conn, self.ways, now)
        with self._db.read() as conn:
            return messages.due(conn, self.ways, now)

    def _claimed(self, message: NoticeMessage) -> bool:
        with self._db.write() as conn:
            return messages.claim(conn, message, self._clock.now())

    def _note(self, message: NoticeMessage, tries: int, made_at: int, outcome: Outcome) -> None:
        now = self._clock.now()
        about = {"notice": message.id, "way": message.way, "outcome": outcome.kind, "reason": outcome.reason}
        given_up = outcome.kind == "skipped" or now - made_at > GIVE_UP_US
        over = outcome.kind in ("done", "uncertain") or given_up
        detail = f"{outcome.kind}: {outcome.detail}"
        with self._db.write() as conn:
            if over:
                messages.told(conn, message, tries, detail, now)
            else:
                messages.again(conn, message, tries, detail, now + PAUSES[min(tries, len(PAUSES)) - 1])
        if given_up:
            log.error("a notice is given up", **about)
        elif over:
            log.info("a notice was sent", **about)
        elif tries == 1:
            log.warning("a notice could not be sent, and is tried again", **about)

    def _tidy(self) -> None:
        with self._db.write() as conn:
            messages.forget(conn, self._clock.now())
