"""How long a list of the console takes with 20,000 accounts and 50,000 triggers, to the call of the API behind it."""

import http.client
import statistics
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.measure import Result, percentile
from bench.served import Served, served
from deploy.local.process import wait_until

ACCOUNTS, TRIGGERS, TASKS, DOCUMENTS, BATCH = 20_000, 50_000, 2_000, 60, 500
LOOKS, WARM = 40, 5
DONE_S = 600.0
# the page, and the call that it shows
LISTS = (
    ("/accounts", "/v1/accounts?limit=50"),
    ("/accounts?q=company+1999", "/v1/accounts?limit=50&q=company+1999"),
    ("/triggers", "/v1/triggers?limit=50"),
    ("/triggers?rule=clicked&tier=high", "/v1/triggers?limit=50&rule=clicked&tier=high"),
    ("/plays", "/v1/plays?limit=50"),
    ("/deliveries", "/v1/actions?limit=50"),
    ("/tasks", "/v1/tasks?limit=50"),
    ("/rules", "/v1/rules?limit=50"),
    ("/playbooks", "/v1/playbooks?limit=50"),
    ("/templates", "/v1/templates?limit=50"),
)


def console(tick: Callable[[], None]) -> list[Result]:
    """The slowest list as a share of its call; the note has all of them."""
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as ours:
        _fill(ours)
        cookie = _signed_in(ours)
        line = http.client.HTTPConnection("127.0.0.1", ours.port, timeout=60)
        found = {page: _paired(line, page, call, cookie, ours.key) for page, call in LISTS}
        line.close()
    tick()
    page = max(found, key=lambda one: statistics.median(found[one][0]) / statistics.median(found[one][1]))
    shown, called = found[page]
    slowest = max(percentile(one, 0.95) for one, _ in found.values())
    told = ", ".join(
        f"{name} {statistics.median(one):.1f}/{statistics.median(call):.1f}"
        for name, (one, call) in found.items()
    )
    much = f"{ACCOUNTS:,} accounts, {TRIGGERS:,} triggers"
    note = f"{page}; {much}; p95 of the slowest {slowest:.0f} ms; ms page/call: {told}"
    raw = {"ours": shown, "floor": called}
    return [Result("console", statistics.median(shown), "ms", None, statistics.median(called), raw, note)]


def _fill(ours: Served) -> None:
    rules = {
        "clicked": {"when": {"threshold": {"event": "clicked", "at_least": 1}}, "by": "data.n"},
        "asked": {
            "when": {"threshold": {"event": "asked", "at_least": 1}},
            "by": "data.n",
            "playbook": "call",
        },
    }
    task = {"task": {"title": "Call {{ account.name }}", "assignee": "jo@us.test", "due": "1d"}}
    ours.call("POST", "/v1/playbooks", {"name": "call", "steps": [task], "limit": None})
    for name, rule in rules.items():
        ours.call("POST", "/v1/rules", {"name": name, "status": "active", "cooldown": "0s", **rule})
    for n in range(DOCUMENTS):
        ours.call("POST", "/v1/rules", {"name": f"rule-{n}", **rules["clicked"]})
        ours.call("POST", "/v1/playbooks", {"name": f"playbook-{n}", "steps": [task]})
        ours.call("POST", "/v1/templates", {"name": f"template-{n}", "subject": "Hello", "markdown": "Hello"})
    for batch in _batches(ACCOUNTS):
        ours.call("POST", "/v1/events", [_account(n) for n in batch])
    for kind, many in (("clicked", TRIGGERS), ("asked", TASKS)):
        for batch in _batches(many):
            ours.call("POST", "/v1/events", [_event(kind, n) for n in batch])
    wait_until("all of it", lambda: bool(ours.call("GET", "/v1/status")["idle"]), DONE_S)


def _batches(many: int) -> Iterator[Sequence[int]]:
    for first in range(0, many, BATCH):
        yield range(first, min(first + BATCH, many))


def _account(n: int) -> dict[str, Any]:
    tier = ("high", "low", "tech", "tech")[n % 4]
    data = {"name": f"Company {n}", "tier": tier, "owner": {"name": "Jo", "email": "jo@us.test"}}
    return {"type": "account.updated", "account": f"a{n}", "data": data}


def _event(kind: str, n: int) -> dict[str, Any]:
    return {"type": kind, "id": f"{kind}-{n}", "account": f"a{n % ACCOUNTS}", "data": {"n": str(n)}}


def _signed_in(ours: Served) -> str:
    line = http.client.HTTPConnection("127.0.0.1", ours.port, timeout=60)
    body = urllib.parse.urlencode({"key": ours.key})
    line.request("POST", "/login", body, {"content-type": "application/x-www-form-urlencoded"})
    answer = line.getresponse()
    cookie = str(answer.getheader("set-cookie")).partition(";")[0]
    line.close()
    return cookie


def _paired(
    line: http.client.HTTPConnection, page: str, call: str, cookie: str, key: str
) -> tuple[list[float], list[float]]:
    """Milliseconds of the page and of the call, in turn."""
    shown, called = [], []
    for _ in range(WARM + LOOKS):
        shown.append(_ask(line, page, {"cookie": cookie}))
        called.append(_ask(line, call, {"authorization": f"Bearer {key}"}))
    return shown[WARM:], called[WARM:]


def _ask(line: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> float:
    began = time.perf_counter()
    line.request("GET", path, headers=headers)
    answer = line.getresponse()
    answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status}")
    return (time.perf_counter() - began) * 1_000
