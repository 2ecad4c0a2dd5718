"""Which service answers a call of the API. A test compares this with the routes that the services have."""

import re
from enum import StrEnum
from typing import NamedTuple

INGEST, RULES, ACTIONS = "ingest", "rules", "actions"
SERVICES = (INGEST, RULES, ACTIONS)

# the first part of the path after /v1/
_OWNERS = {
    INGEST: "a aliases alias b batch clock events g group hooks i identify p page projects s screen sources t track "
    "unmatched",
    RULES: "accounts backtests rules schemas tiers triggers",
    ACTIONS: "actions brand endpoints mail playbooks plays policy rehearsals sending suppressions task-mails tasks "
    "templates topics",
}
OWNER_OF = {name: service for service, names in _OWNERS.items() for name in names.split()}
# the second one, of what each service has for itself
_KINDS = {"triggers": RULES, "accounts": RULES, "plays": ACTIONS, "actions": ACTIONS, "tasks": ACTIONS}
_RECORD = re.compile(r"/v1/accounts/.*/record", re.DOTALL)


class Manner(StrEnum):
    """How a call is answered."""

    ONE = "one"  # by one service
    ANY = "any"  # by whichever can be reached: all read and write the same table
    STATUS = "status"  # these are joined of the answers of all
    ATTENTION = "attention"
    RECORD = "record"
    REFUSED = "refused"  # by both services that have the path: neither has the method


class Destination(NamedTuple):
    """Where a call goes. `service`: for `ONE`, its name; `route`: how metrics call it."""

    manner: Manner
    service: str
    route: str


def destination(method: str, path: str, raw_path: bytes) -> Destination | None:
    """Where a call goes, by its path as it was sent and decoded; None for what no service answers."""
    if path.startswith("/u/"):
        return Destination(Manner.ONE, ACTIONS, "/u/…")
    if not path.startswith("/v1/"):
        return None
    first, _, rest = path[4:].partition("/")
    if first in {"export", "stats"}:
        owner = _KINDS.get(rest)
        return None if owner is None else Destination(Manner.ONE, owner, f"/v1/{first}/…")
    if first in {"keys", "me", "audit"}:
        return Destination(Manner.ANY, "", f"/v1/{first}")
    if first in {"status", "attention"} and not rest:
        return Destination(Manner(first), "", f"/v1/{first}")
    if first == "accounts":
        return _of_accounts(method, path, raw_path)
    owner = OWNER_OF.get(first)
    return None if owner is None else Destination(Manner.ONE, owner, f"/v1/{first}")


def _of_accounts(method: str, path: str, raw_path: bytes) -> Destination:
    """Accounts are written at ingest and read at rules. `/record` may be part of an account's name, as `%2Frecord`."""
    if method not in {"GET", "PUT"} or (method == "PUT" and path == "/v1/accounts"):
        return Destination(Manner.REFUSED, "", "/v1/accounts")
    if method == "PUT":
        return Destination(Manner.ONE, INGEST, "/v1/accounts")
    if method == "GET" and raw_path.endswith(b"/record") and _RECORD.fullmatch(path):
        return Destination(Manner.RECORD, "", "/v1/accounts/…/record")
    return Destination(Manner.ONE, RULES, "/v1/accounts")
