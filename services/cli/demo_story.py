"""Reports what came of the demo: tables, three stories, and a headline that is counted, not guessed."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.cli.client import Client
from services.cli.demo_log import OWNERS, Purchase

QUIET = "gone-quiet"  # the rule whose mails and tasks ask people back
BACK_WITHIN = timedelta(days=60)


class Story:
    """All that was decided and done, read once."""

    def __init__(self, client: Client, purchases: Sequence[Purchase]) -> None:
        self._client, self._purchases = client, purchases
        self._triggers = list(client.items("/v1/triggers"))
        self._actions = list(client.items("/v1/actions"))
        self._heroes = _heroes(self._triggers, self._actions)

    def tell(self, console: Console) -> None:
        """The tables and a story for each tier."""
        console.print()
        console.print(_triggers_table(self._triggers))
        console.print(_actions_table(self._actions))
        for account in self._heroes:
            console.print(_story(self._client, account, self._purchases, self._triggers, self._actions))

    def headline(self) -> str:
        """The result in one sentence."""
        return headline(self._purchases, self._triggers)

    @property
    def example(self) -> tuple[str, str]:
        """An account of the stories, and a rule that fired for it last."""
        account = self._heroes[0]
        fired = [trigger for trigger in self._triggers if trigger["account"] == account]
        return account, max(fired, key=lambda trigger: str(trigger["at"]))["rule"]


def headline(purchases: Iterable[Purchase], triggers: Iterable[Mapping[str, Any]]) -> str:
    """How many customers went quiet, and how many of them bought again after the first mail or task that
    asked them back."""
    touched: dict[str, datetime] = {}
    for trigger in triggers:
        if trigger["rule"] == QUIET:
            at, account = datetime.fromisoformat(trigger["at"]), trigger["account"]
            touched[account] = min(at, touched.get(account, at))
    customers: set[str] = set()
    back: dict[str, timedelta] = {}
    for purchase in purchases:
        customers.add(purchase.customer)
        first = touched.get(purchase.customer)
        if first is not None and purchase.at > first:
            waited = purchase.at - first
            back[purchase.customer] = min(waited, back.get(purchase.customer, waited))
    soon = sum(waited <= BACK_WITHIN for waited in back.values())
    return (
        f"Of {len(customers):,} customers {len(touched):,} went quiet at least once. {soon:,} of these bought again "
        f"within {BACK_WITHIN.days} days of the first touch, {len(back):,} by the end."
    )


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
    purchases: Sequence[Purchase],
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
    return f"[green]{action['channel']}[/] {escape(_title(client, action))} → {action['recipient']}{end}"


def _title(client: Client, action: dict[str, Any]) -> str:
    shown = client.call("GET", f"/v1/actions/{action['id']}").get("rendered") or {}
    return str(shown.get("subject") or shown.get("title") or action["step"])
