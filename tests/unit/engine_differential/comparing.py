"""Compares triggers of the engine with those of the oracle."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

from tests.oracle.history import History
from tests.oracle.kinds import KINDS
from tests.oracle.times import format_time

JSON = dict[str, Any]


def story(history: History) -> str:
    """A history in one line per place."""
    saves = list(history.config)
    lines = [f"clock {history.clock}"]
    for offset, receipt, event in history.events:
        while saves and saves[0][0] <= offset:
            lines.append(f"  save {saves.pop(0)[1]}")
        rest = {name: value for name, value in event.items() if name not in ("type", "time", "account", "id")}
        received = f" received {format_time(receipt)}" if history.clock == "wall" else ""
        who = f"{event['type']} {event.get('account')} {event.get('id')}"
        lines.append(f"  {offset} {event['time']}{received} {who} {rest}")
    lines += [f"  save {revision}" for _, revision in saves]
    return "\n".join([*lines, f"  until {format_time(history.final_clock or 0)}"])


def identity(trigger: JSON) -> tuple[Any, ...]:
    """The rule that fired, for whom, when and why: these must be the same, to the microsecond."""
    names = (
        "rule",
        "account",
        "contact",
        "contact_subject",
        "key",
        "tier",
        "at",
        "event_id",
        "event",
        "shadow",
        "depth",
    )
    return tuple(str(trigger[name]) for name in names)


def joint_identity(trigger: JSON) -> tuple[Any, ...]:
    """The identity for an all_of rule: if two members held at one moment, either may be the one shown."""
    names = ("rule", "account", "contact_subject", "key", "tier", "at", "shadow")
    return tuple(str(trigger[name]) for name in names)


def differences(expected: list[JSON], got: list[JSON]) -> list[str]:
    """The differences in words; empty if there are none. Both sides may be in any order."""
    joint = {trigger["rule"] for trigger in expected if trigger["kind"] == "all_of"}

    def key(trigger: JSON) -> tuple[Any, ...]:
        return joint_identity(trigger) if trigger["rule"] in joint else identity(trigger)

    wanted, found = sorted(expected, key=key), sorted(got, key=key)
    keys_wanted, keys_found = [key(t) for t in wanted], [key(t) for t in found]
    if keys_wanted != keys_found:
        missing = _without(keys_wanted, keys_found)
        surplus = _without(keys_found, keys_wanted)
        return [f"missing: {one}" for one in missing] + [f"too many: {one}" for one in surplus]
    pairs = list(zip(wanted, found, strict=True))
    places = [
        f"{one['rule']} at {one['at']}: position {other['position']}, should be {one['position']}"
        for one, other in pairs
        if one["position"] != other["position"]
    ]
    return places + [
        text for one, other in pairs if one["rule"] not in joint for text in _details(one, other)
    ]


def _without(these: list[Any], those: list[Any]) -> list[Any]:
    return list((Counter(these) - Counter(those)).elements())


def _details(expected: JSON, got: JSON) -> list[str]:
    """The differences in value, threshold, evidence and figures."""
    where = f"{expected['rule']} {expected['account']} at {expected['at']}:"
    found = []
    if expected["threshold"] != got["threshold"]:
        found.append(f"{where} threshold {got['threshold']}, should be {expected['threshold']}")
    if KINDS[expected["kind"]].has_value and not _value_fits(expected["value"], got):
        found.append(f"{where} value {got['value']}, should be {expected['value']}")
    if KINDS[expected["kind"]].has_evidence and not _evidence_fits(expected, got):
        found.append(f"{where} evidence {got['evidence']}, should be {expected['evidence']}")
    if (expected["figures"] is None) != (got["figures"] is None):
        found.append(f"{where} figures {got['figures']}, should be {expected['figures']}")
    for name, value in (expected["figures"] or {}).items():
        if not _same_number(value, got["figures"][name]):
            found.append(f"{where} {name} {got['figures'][name]}, should be {value}")
    return found


def _value_fits(expected: Fraction, got: JSON) -> bool:
    """Whether the engine's value is equal to the oracle's, or a lower bound of it if the engine says so."""
    if got["value"] is None:
        return False
    return _same_number(expected, got["value"]) or (
        not got["value_exact"] and Fraction(got["value"]) < expected
    )


def _same_number(exact: Fraction, shown: float) -> bool:
    return float(exact) == float(shown)


def _evidence_fits(expected: JSON, got: JSON) -> bool:
    """Whether the evidence is the newest counted events, newest last; fewer will do if the value is a lower bound."""
    if got["value_exact"]:
        return bool(got["evidence"] == expected["evidence"])
    count = len(got["evidence"])
    return count > 0 and bool(got["evidence"] == expected["evidence"][-count:])
