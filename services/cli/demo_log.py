"""The demo's purchase log: reads it, and makes events of it. Names of customers are made up, always the same
for a customer."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from backbone.errors import ConfigurationError

EXAMPLES = Path(__file__).parents[2] / "examples" / "cdnow"
END = datetime(1998, 7, 1, tzinfo=UTC)  # the day after the last one in the log
FIRST = [
    *("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hana", "Ida", "Jon", "Kim", "Leo"),
    *("Mia", "Ned", "Ola", "Pia", "Quinn", "Rae", "Sam", "Tess", "Uma", "Vic", "Wim", "Zoe"),
]
LAST = [
    *("Adler", "Brook", "Cole", "Dunn", "Ellis", "Ford", "Grant", "Hale", "Iver", "Joyce"),
    *("Keane", "Lowe", "Marsh", "Nash", "Otto", "Pell", "Reed", "Stone", "Todd", "Voss"),
]
OWNERS = {"high": "Jo Park", "low": "Sam Ito", "tech": "Record Desk"}


@dataclass(frozen=True)
class Purchase:
    """One line of the log."""

    customer: str
    at: datetime
    cds: int
    dollars: float


def read_log(path: Path) -> list[Purchase]:
    """The purchases in the order of time. Within a day they keep their order, a second apart from nine
    in the morning.

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
    """The `account.updated` that introduces an account; its name is made up, always the same for a customer."""
    rng = random.Random(purchase.customer)  # noqa: S311  (a name, not a secret)
    name = f"{rng.choice(FIRST)} {rng.choice(LAST)}"
    # As tiers.yaml has it.
    tier = "high" if purchase.dollars >= 100 else "low" if purchase.dollars >= 30 else "tech"
    owner = OWNERS[tier]
    return {
        "name": name,
        "attributes": {"first_order": purchase.dollars},
        "owner": {"name": owner, "email": f"{owner.split()[0].lower()}@shop.test"},
        "contacts": [{"id": "buyer", "name": name.split()[0], "email": f"{purchase.customer}@mail.test"}],
    }
