"""`touchline demo`: a real purchase log through the engine on the log clock, and what came of it as a story."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from backbone.errors import ConfigurationError
from backbone.settings import load_settings
from services.cli.client import ApiError, Client
from services.cli.documents import find, load
from services.cli.held import address

EXAMPLES = Path(__file__).parents[2] / "examples" / "cdnow"
END = datetime(1998, 7, 1, tzinfo=UTC)  # the day after the last one in the log
BATCH = 500
READY_S, IDLE_S = 60.0, 900.0
FIRST = [
    "Ada",
    "Ben",
    "Cleo",
    "Dan",
    "Eva",
    "Finn",
    "Gus",
    "Hana",
    "Ida",
    "Jon",
    "Kim",
    "Leo",
    "Mia",
    "Ned",
    "Ola",
    "Pia",
    "Quinn",
    "Rae",
    "Sam",
    "Tess",
    "Uma",
    "Vic",
    "Wim",
    "Zoe",
]
LAST = [
    "Adler",
    "Brook",
    "Cole",
    "Dunn",
    "Ellis",
    "Ford",
    "Grant",
    "Hale",
    "Iver",
    "Joyce",
    "Keane",
    "Lowe",
    "Marsh",
    "Nash",
    "Otto",
    "Pell",
    "Reed",
    "Stone",
    "Todd",
    "Voss",
]
OWNERS = {"high": "Jo Park", "low": "Sam Ito", "tech": "Record Desk"}

console = Console(highlight=False)


@dataclass(frozen=True)
class Purchase:
    """One line of the log."""

    customer: str
    at: datetime
    cds: int
    dollars: float


def demo(*, detach: bool | None = None) -> int:
    """Replay, tell, and leave the server running: until Ctrl-C on a terminal, else (or with `detach`) on its own."""
    detach = not sys.stdout.isatty() if detach is None else detach
    purchases = read_log(EXAMPLES / "CDNOW_sample.txt")
    settings = load_settings()
    folder = settings.data_dir / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    server = _serve(folder, detach=detach)
    try:
        client = _ready(server, folder, settings.base_url)
        with _crm() as crm:
            _configure(client, crm)
            _replay(client, purchases)
            _settle(client)
            tell(client, purchases)
    except BaseException:
        _stop(server)
        raise
    where = f"{client.url}/docs   key: {folder / 'admin.key'}   mails: {folder / 'outbox'}"
    if detach:
        console.print(f"\nThe server is left running: {where}\nStop it with: kill {server.pid}")
        return 0
    console.print(f"\nLook around: {where}\nCtrl-C stops the server.")
    try:
        server.wait()
    except KeyboardInterrupt:
        _stop(server)
    return 0


def read_log(path: Path) -> list[Purchase]:
    """The purchases in the order of time; within a day as they stand, a second apart from nine in the morning.

    Raises `ConfigurationError` where there is no log: it comes with the repository, not with the package.
    """
    if not path.exists():
        raise ConfigurationError(
            "the demo's event log is not part of the package: run `make demo` in a checkout"
        )
    purchases = []
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines()):
        _, customer, day, cds, dollars = line.split()
        at = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC) + timedelta(
            hours=9, seconds=number % 28_800
        )
        purchases.append(Purchase(f"c{customer}", at, int(cds), float(dollars)))
    return sorted(purchases, key=lambda purchase: purchase.at)


def events(purchases: list[Purchase]) -> Iterator[dict[str, Any]]:
    """The log as events; a customer is introduced right before the first purchase."""
    known: set[str] = set()
    for number, purchase in enumerate(purchases):
        common = {"source": "cdnow", "account": purchase.customer, "time": purchase.at.isoformat()}
        if purchase.customer not in known:
            known.add(purchase.customer)
            yield {
                **common,
                "id": f"{purchase.customer}-new",
                "type": "account.updated",
                "data": introduce(purchase),
            }
        data = {"cds": purchase.cds, "dollars": purchase.dollars}
        contact = {"contact": "buyer"}
        yield {**common, **contact, "id": f"p{number}", "type": "purchase.made", "data": data}


def introduce(purchase: Purchase) -> dict[str, Any]:
    """An account as `account.updated` carries it; the name is made up, always the same for a customer."""
    rng = random.Random(purchase.customer)  # noqa: S311  (a name, not a secret)
    name = f"{rng.choice(FIRST)} {rng.choice(LAST)}"
    tier = (
        "high" if purchase.dollars >= 100 else "low" if purchase.dollars >= 30 else "tech"
    )  # as tiers.yaml has it
    owner = OWNERS[tier]
    return {
        "name": name,
        "attributes": {"first_order": purchase.dollars},
        "owner": {"name": owner, "email": f"{owner.split()[0].lower()}@shop.test"},
        "contacts": [{"id": "buyer", "name": name.split()[0], "email": f"{purchase.customer}@mail.test"}],
    }


def _serve(folder: Path, *, detach: bool) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "TOUCHLINE_DATA_DIR": str(folder),
        "TOUCHLINE_CLOCK": "log",
        "TOUCHLINE_LOG_RETENTION": "3650d",
        "TOUCHLINE_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        "TOUCHLINE_LOG_LEVEL": "warning",
    }
    unwanted = {"TOUCHLINE_DATABASE_URL", "TOUCHLINE_KAFKA_BOOTSTRAP_SERVERS", "TOUCHLINE_SMTP_URL"}
    environment = {key: value for key, value in os.environ.items() if key not in unwanted} | settings
    with (folder / "server.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "services.cli.main", "serve", "all"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=detach,
        )


def _ready(server: subprocess.Popen[bytes], folder: Path, url: str) -> Client:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            said = (folder / "server.log").read_text(encoding="utf-8", errors="replace").strip()
            raise ConfigurationError(
                f"the demo's server did not start: {said.splitlines()[-1] if said else ''}"
            )
        key = folder / "admin.key"
        if key.exists():
            with suppress(ConfigurationError, ApiError):  # not up yet, in whatever way
                client = Client(url, key.read_text(encoding="utf-8").strip())
                client.call("GET", "/readyz")
                return client
        time.sleep(0.1)
    raise ConfigurationError(
        f"the demo's server was not ready within {READY_S:.0f} s; see {folder / 'server.log'}"
    )


def _stop(server: subprocess.Popen[bytes]) -> None:
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)


@contextmanager
def _crm() -> Iterator[str]:
    """A stand-in for the CRM that webhooks go to; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    sink = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{sink.server_port}/crm"
    finally:
        sink.shutdown()


def _configure(client: Client, crm: str) -> None:
    for document in load(find([EXAMPLES])):
        body = {**document.body, "url": crm} if document.kind == "endpoint" else document.body
        client.call("PUT", address(document.kind, document.name), body)


def _bar() -> Progress:
    columns = (TextColumn("{task.description:28}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def _replay(client: Client, purchases: list[Purchase]) -> None:
    sent = list(events(purchases))
    with _bar() as bar:
        task = bar.add_task("events in", total=len(sent))
        for start in range(0, len(sent), BATCH):
            part = sent[start : start + BATCH]
            client.call("POST", "/v1/events", part)
            bar.advance(task, len(part))
    client.call("POST", "/v1/clock", {"time": END.isoformat()})


def _settle(client: Client) -> None:
    """Wait until everything is decided, played and sent."""
    deadline = time.monotonic() + IDLE_S
    with _bar() as bar:
        task = bar.add_task("decided, played and sent", total=None)
        most = 0
        while time.monotonic() < deadline:
            status = client.call("GET", "/v1/status")
            services = status["services"]
            left = services["rules"]["lag"] + services["actions"]["lag"] + services["actions"]["due"]
            most = max(most, left)
            bar.update(task, total=most, completed=most - left)
            if status["idle"]:
                return
            time.sleep(0.2)
    raise ConfigurationError(f"not idle after {IDLE_S:.0f} s; something is stuck, see the server.log")


def tell(client: Client, purchases: list[Purchase]) -> None:
    """The tables and three stories."""
    triggers = list(client.items("/v1/triggers"))
    actions = list(client.items("/v1/actions"))
    console.print()
    console.print(_triggers_table(triggers))
    console.print(_actions_table(actions))
    for account in _heroes(triggers, actions):
        console.print(_story(client, account, purchases, triggers, actions))


def _triggers_table(triggers: list[dict[str, Any]]) -> Table:
    counts = Counter((trigger["rule"], trigger["tier"]) for trigger in triggers)
    table = Table(title="What fired", title_justify="left")
    for column in ("rule", "high touch", "low touch", "tech touch", "all"):
        table.add_column(column, justify="left" if column == "rule" else "right")
    for rule in sorted({rule for rule, _ in counts}):
        row = [counts[rule, tier] for tier in ("high", "low", "tech")]
        table.add_row(rule, *map(str, row), str(sum(row)))
    table.add_section()
    table.add_row(
        "", *(str(sum(c for (_, t), c in counts.items() if t == tier)) for tier in OWNERS), str(len(triggers))
    )
    return table


def _actions_table(actions: list[dict[str, Any]]) -> Table:
    counts = Counter((action["channel"], action["status"]) for action in actions)
    statuses = [s for s in ("done", "pending", "retrying", "failed", "uncertain", "skipped")
                if any(status == s for _, status in counts)]  # fmt: skip
    table = Table("", *statuses, title="What was done", title_justify="left")
    for channel, word in (("email", "mails"), ("task", "tasks"), ("webhook", "webhooks")):
        table.add_row(word, *(str(counts[channel, status]) for status in statuses))
    return table


def _heroes(triggers: list[dict[str, Any]], actions: list[dict[str, Any]]) -> list[str]:
    """One account per tier: where the most different rules fired, then the most was done."""
    rules: dict[tuple[str, str], set[str]] = defaultdict(set)
    for trigger in triggers:
        rules[trigger["tier"], trigger["account"]].add(trigger["rule"])
    done = Counter(action["account"] for action in actions)
    heroes = []
    for tier in OWNERS:
        of_tier = [account for (t, account) in rules if t == tier]
        if of_tier:
            heroes.append(max(of_tier, key=lambda a: (len(rules[tier, a]), done[a], a)))
    return heroes


def _story(
    client: Client,
    account: str,
    purchases: list[Purchase],
    triggers: list[dict[str, Any]],
    actions: list[dict[str, Any]],
) -> Table:
    known = client.call("GET", f"/v1/accounts/{account}")
    lines = [
        (purchase.at, 0, f"bought {purchase.cds} CD for ${purchase.dollars:.2f}")
        for purchase in purchases
        if purchase.customer == account
    ]
    lines += [
        (datetime.fromisoformat(trigger["at"]), 1, _fired(trigger))
        for trigger in triggers
        if trigger["account"] == account
    ]
    lines += [
        (datetime.fromisoformat(action["due_at"]), 2, _done(client, action))
        for action in actions
        if action["account"] == account
    ]
    table = Table(
        title=f"{known['name']} ({account}, {known['tier']} touch)", title_justify="left", show_header=False
    )
    for at, _, text in sorted(lines):
        table.add_row(f"{at:%d %b %Y}", text)
    return table


def _fired(trigger: dict[str, Any]) -> str:
    value = "" if trigger["value"] is None else f" ({trigger['value']:g}, asked for {trigger['threshold']})"
    return f"[yellow]fired[/] {trigger['rule']}{value}"


def _done(client: Client, action: dict[str, Any]) -> str:
    end = "" if action["status"] == "done" else f" [dim]{action['status']}: {action['reason']}[/]"
    return f"[green]{action['channel']}[/] {_title(client, action)} → {action['recipient']}{end}"


def _title(client: Client, action: dict[str, Any]) -> str:
    shown = client.call("GET", f"/v1/actions/{action['id']}").get("rendered") or {}
    return str(shown.get("subject") or shown.get("title") or action["step"])
