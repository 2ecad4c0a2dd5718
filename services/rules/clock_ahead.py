"""Finds partitions and accounts whose clocks are ahead, since the machine's or the broker's jumped and came back."""

from typing import Any

from schemas.event import FUTURE_LIMIT_US, LATE_US, rfc3339

# event times may be this far ahead of receipt, and clocks differ a little
AHEAD_US = FUTURE_LIMIT_US + 60_000_000
_DAY_US = 86_400_000_000


def is_ahead(at: int, now: int) -> bool:
    """Whether a time that a clock has reached (microseconds) is further ahead of `now` than is possible."""
    return at > now + AHEAD_US


def trouble(clocks: list[int], now: int) -> dict[str, Any]:
    """The part of `/v1/status` about partitions whose clocks are ahead."""
    ahead = [clock for clock in clocks if is_ahead(clock, now)]
    if not ahead:
        return {}
    detail = (
        f"the clocks of {len(ahead)} of {len(clocks)} partitions stand ahead of this machine's, the furthest at "
        f"{rfc3339(max(ahead))}: a clock (this one, or Kafka's) jumped ahead and back. What rests on the passing of "
        "time does not fall due there until then"
    )
    return {"clock_ahead": {"until": rfc3339(max(ahead)), "partitions": len(ahead), "detail": detail}}


def of_account(clock: int, newest: int | None, now: int) -> dict[str, Any]:
    """The part of an explanation about an account that was touched while a clock was ahead.

    `clock`: the clock of the account's partition.
    """
    at = max(clock, newest or 0)
    if not is_ahead(at, now):
        return {}
    said = [f"A clock had jumped ahead when this account was last touched: this is as of {rfc3339(at)}"]
    if is_ahead(clock, now):
        said.append("nothing falls due for it until then")
    if newest is not None and newest - LATE_US > now:
        said.append(f"events before {rfc3339(newest - LATE_US)} are late and take part in no window")
    return {"as_of": rfc3339(at), "sentence": "; ".join(said) + "."}
