"""After an import: for whom each rule in force holds now, as the server says."""

import time
from collections.abc import Sequence
from typing import Any

from backbone.errors import TouchlineError
from backbone.terminal_text import one_line
from schemas.rule import RuleIn, TiersDoc
from services.cli.client import ApiError, Client
from services.cli.imports.judge import Subject, Touched
from services.cli.server_documents import as_filed
from services.cli.terminal import Terminal

IN_FORCE = frozenset({"active", "shadow"})
PATIENCE_S = 30.0  # how long we wait for the server to have read what was sent
LOOK_S = 0.2
NAMED = 8
ASKED = 200  # subjects whose cooldown is asked for


def rules_of(client: Client) -> tuple[list[RuleIn], TiersDoc]:
    """The rules in force on the server, and its tiers. Raises `ApiError` and `ConfigurationError`."""
    items = [one for one in client.items("/v1/rules") if one.get("status") in IN_FORCE]
    return [RuleIn.model_validate(as_filed("rule", one)) for one in items], tiers_of(client)


def tiers_of(client: Client) -> TiersDoc:
    """The tiers on the server. Raises `ApiError` and `ConfigurationError`."""
    return TiersDoc.model_validate(as_filed("tiers", client.call("GET", "/v1/tiers")))


def cooled(client: Client, touched: Sequence[Touched]) -> None:
    """Tell the subjects that would not be touched since their cooldown runs on the server from the others."""
    asked = 0
    for one in touched:
        left: list[Subject] = []
        for subject in one.fires:
            asked += 1
            (one.cooling if asked <= ASKED and _cools(client, one.rule, subject) else left).append(subject)
        one.fires = left


def _cools(client: Client, rule: RuleIn, subject: Subject) -> bool:
    account, contact, key = subject
    more = {"contact": contact, "key": key}
    query: dict[str, Any] = {
        "account": account,
        **{name: value for name, value in more.items() if value is not None},
    }
    try:
        said = client.call("GET", f"/v1/rules/{rule.name}/explain", **query)
    except ApiError as error:
        if error.status in (404, 422):  # a rule of a file, or a contact that is new
            return False
        raise
    return said["cooldown_until"] is not None or (
        said["last_trigger"] is not None and rule.cooldown == "once"
    )


def show_matches(client: Client, out: Terminal) -> None:
    """Print for whom each rule in force holds. Nothing with a key that may not know."""
    try:
        items = [one for one in client.items("/v1/rules") if one.get("status") in IN_FORCE]
        if not items:
            said = "no rule is in force: touchline backtest PATH… says whom one would have touched"
            out.print(said, markup=False)
            return
        read = _has_read(client)
        lines = [line for rule in items if (line := _line(client, rule))]
    except TouchlineError:
        return
    out.print("rules that hold now" + ("" if read else ", as far as the server has read") + ":", markup=False)
    for line in lines or ["  none"]:
        out.print(one_line(line), markup=False)


def _has_read(client: Client) -> bool:
    """Whether rules has read the log to its end, after a while at most; no where another service answers for itself."""
    end = time.monotonic() + PATIENCE_S
    while rules := client.call("GET", "/v1/status")["services"].get("rules"):
        if rules["lag"] == 0:
            return True
        if time.monotonic() > end:
            return False
        time.sleep(LOOK_S)
    return False


def _line(client: Client, rule: dict[str, Any]) -> str:
    """A rule and those that it holds for; empty where there is nobody."""
    page = client.call("GET", f"/v1/rules/{rule['name']}/matches", limit=1_000)
    items = page["items"]
    if not items:
        return ""
    count = f"{len(items):,}{' or more' if page['next_cursor'] else ''}"
    names = list(dict.fromkeys(one["account"] for one in items))
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"  {rule['name']}: {count} ({', '.join(names[:NAMED])}{more})"
