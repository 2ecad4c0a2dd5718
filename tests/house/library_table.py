"""Makes the page about the canned libraries: `python -m tests.house.library_table > docs/library.md`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.house.tree import ROOT

LIBRARY, SOURCES = ROOT / "playbooks", ROOT / "sources"
PAGE = ROOT / "docs" / "library.md"
TIERS = ("high", "low", "tech")

JSON = dict[str, Any]

_HEAD = """# The canned library

Playbooks, [sources](#sources) and [sinks](#sinks). This page is made from their files; a test fails when it is
stale, and `python -m tests.house.library_table > docs/library.md` freshens it.

One line for each folder below `playbooks/`. Three values are for high,
low and tech touch, a dash for a tier that is not covered. In the steps an arrow is a wait, and `due` is the
time that a task gives its assignee. How to change, test and roll one out:
[Writing playbooks](writing-playbooks.md).

| playbook | fires when | high touch | low touch | tech touch | ends on |
|---|---|---|---|---|---|
"""

_SOURCES_HEAD = """
## Sources

One line for each folder below `sources/`: a webhook of another system, and what it becomes here. The README of the
folder says what to click there. How to add one: [a new vendor](recipes/vendor.md).

| source | proves who sends by | event types |
|---|---|---|
"""
_PROOFS = {
    "stripe": "a signature",
    "hmac": "a signature",
    "standard-webhooks": "a signature",
    "basic": "user name and password",
    "token": "a token",
    "none": "nothing",
}
_SINKS = """
## Sinks

What plays send to other systems: endpoints ready to fill in, one folder each below [`sinks/`](../sinks/README.md).
"""


def page() -> str:
    """The whole page, in markdown."""
    playbooks = sorted(path.parent for path in LIBRARY.glob("*/playbook.yaml"))
    sources = [documents(path)[0] for path in source_files()]
    return "".join(
        [
            _HEAD,
            *(f"{_row(folder)}\n" for folder in playbooks),
            _SOURCES_HEAD,
            *(f"{_source_row(source)}\n" for source in sources),
            _SINKS,
        ]
    )


def source_files() -> list[Path]:
    """The file of each source of the library."""
    return sorted(path for path in SOURCES.glob("*/*.yaml") if not path.name.endswith(".test.yaml"))


def _source_row(source: JSON) -> str:
    types = dict.fromkeys(event["type"] for event in source["events"])
    link = f"[{source['name']}](../sources/{source['name']}/)"
    return f"| {link} | {_PROOFS[source['verify']['scheme']]} | {', '.join(f'`{one}`' for one in types)} |"


def documents(path: Path) -> list[JSON]:
    """The documents of one YAML file."""
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def _row(folder: Path) -> str:
    (playbook,) = documents(folder / "playbook.yaml")
    rules = documents(folder / "rule.yaml")
    whens = "; or ".join(_rule(rule) for rule in rules)
    covered = [tier for tier in TIERS if any(_covers(rule["when"], tier) for rule in rules)]
    tiers = [_steps(playbook["steps"][tier]) if tier in covered else "–" for tier in TIERS]
    link = f"[{playbook['name']}](../playbooks/{folder.name}/)"
    cells = [link, whens, *tiers, _exits(playbook["exit_when"])]
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


# -- when ------------------------------------------------------------------------------------------


def _rule(rule: JSON) -> str:
    said = _when(rule["when"])
    if "by" in rule:
        said += f", per `{rule['by']}`"
    if rule.get("scope") == "contact":
        said += ", per contact"
    if "where" in rule:
        said += f", if {_condition(rule['where'])}"
    if "unless" in rule:
        said += f", unless {_when(rule['unless'])}"
    if "cooldown" in rule:
        said += ", once" if rule["cooldown"] == "once" else f", once in {rule['cooldown']}"
    return said


def _when(when: JSON) -> str:
    ((kind, body),) = when.items()
    return _KINDS[kind](body)


def _threshold(body: JSON) -> str:
    counted = {"count": "number", "days": "days"}.get(kind := body.get("aggregate", "count"), kind)
    what = f"{counted} of `{body['of']}` in" if "of" in body else f"{counted} of"
    said = f"{what} {_events(body)}"
    if "per" in body:
        said += f" ÷ `{body['per']}`"
    said += f" within {body['within']}" if "within" in body else ""
    said += _since(body)
    return said + "".join(
        f" {sign} {_tiered(body[name])}"
        for name, sign in (("at_least", "≥"), ("above", ">"), ("at_most", "≤"), ("below", "<"))
        if name in body
    )


def _absence(body: JSON) -> str:
    if body.get("fire") == "on_return":
        return f"{_events(body)} again after {_tiered(body['for'])} without"
    nothing = f"no {_events(body).removeprefix('any ')}"
    return f"{nothing} for {_tiered(body['for'])}{_since(body)}"


def _trend(body: JSON) -> str:
    name = "falls_by" if "falls_by" in body else "rises_by"
    said = f"{_events(body)} {name.replace('_', ' ')} {_tiered(body[name])} %"
    least = f" (at least {body['min_baseline']} there)" if "min_baseline" in body else ""
    return f"{said}, {body['over']} against the {body['baseline']} before{least}"


def _becomes(body: JSON) -> str:
    return f"becomes {_condition(body['is'])}"


def _all_of(body: JSON) -> str:
    return f"{' and '.join(map(_when, body['of']))}, within {body['within']}"


def _date(body: JSON) -> str:
    side = "before" if "before" in body else "after"
    every = "every " if body.get("repeat") else ""
    return f"{every}{_tiered(body[side])} {side} `{body['attribute']}`"


_KINDS: dict[str, Callable[[JSON], str]] = {
    "threshold": _threshold,
    "absence": _absence,
    "trend": _trend,
    "date": _date,
    "becomes": _becomes,
    "all_of": _all_of,
}


def _since(body: JSON) -> str:
    if "since" not in body:
        return ""
    since = body["since"]
    span = f" and {since['for']} from it" if "for" in since else ""
    return f" since {_events(since)}{span}"


def _events(body: JSON) -> str:
    types = body["event"] if isinstance(body["event"], list) else [body["event"]]
    said = "any event" if types == ["*"] else " or ".join(f"`{name}`" for name in types)
    return f"{said} ({_condition(body['where'])})" if "where" in body else said


def _condition(condition: JSON) -> str:
    said = [_entry(path, value) for path, value in condition.items()]
    return said[0] if len(said) == 1 else " and ".join(map(_bracketed, said))


def _bracketed(text: str) -> str:
    return f"({text})" if " or " in text or " and " in text else text


def _entry(path: str, value: Any) -> str:
    if path in ("all", "any"):
        each = [_condition(one) for one in value]
        return (" and " if path == "all" else " or ").join(map(_bracketed, each))
    if path == "not":
        return f"not ({_condition(value)})"
    if not isinstance(value, dict):
        return f"`{path}` = {_shown(value)}"
    signs = {"gte": "≥", "lte": "≤", "gt": ">", "lt": "<", "ne": "≠", "not_in": "not in"}
    return " and ".join(f"`{path}` {signs.get(name, name)} {_shown(other)}" for name, other in value.items())


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _tiered(value: Any) -> str:
    if isinstance(value, dict):
        return " / ".join(str(value.get(tier, "–")) for tier in TIERS)
    return str(value)


def _covers(when: JSON, tier: str) -> bool:
    ((_, body),) = when.items()
    if "of" in body and isinstance(body["of"], list):
        return all(_covers(member, tier) for member in body["of"])
    tiered = [value for value in body.values() if isinstance(value, dict) and value.keys() <= set(TIERS)]
    return all(tier in value for value in tiered)


# -- then ------------------------------------------------------------------------------------------


def _steps(steps: list[JSON]) -> str:
    said, after = "", ""
    for step in steps:
        if "wait" in step:
            after = f"{after.removesuffix(': ') or ' → '}{', then ' if after else ''}{_wait(step['wait'])}: "
            continue
        said += (after or ("; " if said else "")) + _step(step)
        after = ""
    return (said + after.removesuffix(": ")).removeprefix(" → ")


def _wait(wait: Any) -> str:
    if isinstance(wait, str):
        return wait
    if "until_date" in wait:
        return f"{wait['before']} before" if "before" in wait else "that day"
    return f"up to {wait['for']}, until {_events(wait['until'])}"


def _step(step: JSON) -> str:
    if "email" in step:
        return f"email {step['email']['template']}"
    if "task" in step:
        due = f" (due {step['task']['due']})" if "due" in step["task"] else ""
        who = step["task"].get("assignee", "owner")
        return f"task{'' if who == 'owner' else f' for {who}'}{due}"
    if "webhook" in step:
        return f"webhook {step['webhook']['endpoint']}"
    branch = step["branch"]
    if not branch.get("else"):
        waits = all("wait" in one for one in branch["then"])
        return f"if {_condition(branch['if'])}: {'wait ' if waits else ''}{_steps(branch['then'])}"
    return " or ".join(_steps(branch[way]) for way in ("then", "else") if branch.get(way))


def _exit(one: JSON) -> str:
    if "changed" in one:
        return f"a change of `{one['changed']}`"
    return _events(one) + (f" of the same `{one['by']}`" if "by" in one else "")


def _exits(exits: Any) -> str:
    each = exits if isinstance(exits, list) else [exits]
    return ", ".join(map(_exit, each))


if __name__ == "__main__":
    sys.stdout.write(page())
