"""Hypothesis strategies for rules: every trigger kind, aggregate, scope and cooldown, few names and round spans."""

from __future__ import annotations

import copy
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st

JSON = dict[str, Any]
T = TypeVar("T")


class Draw(Protocol):
    """The `draw` function that `st.composite` passes in."""

    def __call__(self, strategy: st.SearchStrategy[T], /) -> T: ...


SPANS = st.sampled_from(("1d", "6h", "12h", "1d", "2d", "2d", "3d", "7d", "1w", "10d"))
SHORT = st.sampled_from(("6h", "12h", "1d", "2d"))
EVENTS = st.sampled_from(
    ("tick",) * 5
    + (["tick", "boom"],) * 4
    + ("*",) * 3
    + ("boom", "touchline.email.sent", ["tick", "touchline.email.sent"], ["tick", "account.updated"])
)
BYS = ("data.k", "data.k", "data.k", "type", "contact.id", "account.attributes.status")
PER = "account.attributes.seats"
WHERES = st.sampled_from(
    (
        {"data.sev": "high"},
        {"data.x": {"gte": 1}},
        {"data.x": {"ne": 1}},
        {"account.attributes.status": {"ne": "churned"}},
        {"account.tier": {"in": ["high", "low"]}},
        {"contact.active": True},
        {"contact.id": {"not_in": ["bob"]}},
        {"contact.roles": {"contains": "admin"}},
        {"any": [{"data.k": "a"}, {"data.sev": {"exists": False}}]},
        {"not": {"data.k": {"matches": "^[a1]"}}},
        {"type": {"starts_with": "t"}, "data.x": {"lt": 2}},
    )
)
STATES = st.sampled_from(  # conditions that a rule's own `where` may ask at a moment too
    (
        {"account.attributes.status": {"ne": "churned"}},
        {"account.tier": "high"},
        {"contact.active": {"ne": False}},
        {"data.sev": "high"},
        {"account.attributes.seats": {"exists": True}},
    )
)
TIER_POLICIES = st.sampled_from(
    (
        (),
        (),
        (
            {"tier": "high", "where": {"account.attributes.arr": {"gte": 50000}}},
            {"tier": "low", "where": {"account.attributes.arr": {"gte": 10000}}},
            {"tier": "tech"},
        ),
        ({"tier": "low", "where": {"account.attributes.status": "churned"}}, {"tier": "high"}),
    )
)
COOLDOWNS = st.sampled_from((None, None, "0s", "0s", "once", "6h", "1d", "3d"))


def _sometimes(draw: Draw, into: JSON, name: str, strategy: st.SearchStrategy[Any], one_in: int) -> None:
    if draw(st.integers(0, one_in - 1)) == one_in - 1:
        into[name] = draw(strategy)


def often(*choices: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """One of several strategies by weight (`one_of` drops those named twice)."""
    plain = [strategy for weight, strategy in choices for _ in range(weight)]
    return st.sampled_from(range(len(plain))).flatmap(lambda index: plain[index])


def tiered(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One value, or one per tier with some left out."""
    each = st.fixed_dictionaries({"high": values, "tech": values}, optional={"low": values})
    some = st.fixed_dictionaries({"low": values}, optional={"tech": values})
    return often((4, values), (2, each), (1, some))


COUNTS = tiered(st.sampled_from((2, 1, 2, 2, 3, 3, 4)))
AMOUNTS = tiered(st.sampled_from((1, 1, 0.3, 2, 3, -0.3, 0.2, 0.000001, 1.5, 1000000000, -1)))
LITTLE = tiered(st.sampled_from((1, 0, 2, 3)))


def _since(draw: Draw, *, span: bool) -> JSON:
    since: JSON = {"event": draw(st.sampled_from(("start", "start", "boom", "tick")))}
    _sometimes(draw, since, "where", WHERES, 4)
    if span:
        _sometimes(draw, since, "for", SPANS, 2)
    return since


def _aggregate(draw: Draw, body: JSON, names: tuple[str, ...]) -> st.SearchStrategy[Any]:
    aggregate = draw(st.sampled_from(names))
    if aggregate != "count":
        body["aggregate"] = aggregate
    if aggregate in ("count", "days"):
        return COUNTS
    body["of"] = draw(st.sampled_from(("data.x",) * 9 + (PER, "data.k")))
    return COUNTS if aggregate == "distinct" else AMOUNTS


ALL = ("count", "count", "count", "sum", "avg", "min", "max", "distinct", "days")


@st.composite
def rising(draw: Draw, since: int = 5) -> JSON:
    """A threshold checked at events; one in `since` has that."""
    body: JSON = {"event": draw(EVENTS)}
    _sometimes(draw, body, "where", WHERES, 5)
    values = _aggregate(draw, body, ALL)
    if draw(st.integers(0, 3)):
        body["within"] = draw(SPANS)
    if draw(st.integers(1, since)) == since:
        body["since"] = _since(draw, span=True)
    _sometimes(draw, body, "per", st.just(PER), 8)
    body[draw(st.sampled_from(("at_least", "at_least", "above")))] = draw(values)
    return {"threshold": body}


@st.composite
def easy(draw: Draw) -> JSON:
    """A threshold that a few events reach."""
    body: JSON = {"event": draw(st.sampled_from(("tick", "boom", "*", "start", ["tick", "paid"])))}
    _sometimes(draw, body, "within", SPANS, 2)
    body["at_least"] = draw(st.sampled_from((1, 1, 2, 3)))
    return {"threshold": body}


@st.composite
def falling(draw: Draw) -> JSON:
    """A threshold checked at the daily tick."""
    body: JSON = {"event": draw(EVENTS), "within": draw(st.sampled_from(("1d", "2d", "3d", "7d", "12h")))}
    _sometimes(draw, body, "where", WHERES, 5)
    values = _aggregate(draw, body, ALL)
    _sometimes(draw, body, "since", st.just({"event": "start"}), 5)
    _sometimes(draw, body, "per", st.just(PER), 8)
    body[draw(st.sampled_from(("at_most", "below")))] = draw(LITTLE if values is COUNTS else values)
    return {"threshold": body}


@st.composite
def absence(draw: Draw) -> JSON:
    """An absence, at its deadline or on return."""
    body: JSON = {"event": draw(EVENTS), "for": draw(tiered(SPANS))}
    _sometimes(draw, body, "where", WHERES, 5)
    if draw(st.integers(0, 2)) == 2:
        body["fire"] = "on_return"
    elif draw(st.booleans()):
        body["since"] = _since(draw, span=False)
    return {"absence": body}


@st.composite
def trend(draw: Draw) -> JSON:
    """A trend over short spans and few events."""
    body: JSON = {
        "event": draw(EVENTS),
        "over": draw(SHORT),
        "baseline": draw(st.sampled_from(("2d", "1d", "3d"))),
    }
    _aggregate(draw, body, ("count", "count", "sum"))
    body["min_baseline"] = draw(st.sampled_from((1, 1, 2, 3)))
    share = tiered(st.sampled_from((50, 100, 20, 0, 50, 100, 33.333333)))
    body[draw(st.sampled_from(("falls_by", "rises_by")))] = draw(share)
    return {"trend": body}


@st.composite
def date(draw: Draw, scope: str = "account") -> JSON:
    """A date rule."""
    body: JSON = {"attribute": f"{scope}.attributes.d"}
    calendar = st.sampled_from(("1d", "6h", "2d", "1mo", "1d", "3d", "6h", "1d", "2d", "1w", "2mo", "1y"))
    operator = draw(st.sampled_from(("after", "before")))
    body[operator] = draw(tiered(calendar))
    _sometimes(draw, body, "repeat", st.just(True), 3)
    _sometimes(draw, body, "late", st.sampled_from(("6h", "3d", "2w")), 3)
    return {"date": body}


def becomes() -> st.SearchStrategy[JSON]:
    """A condition that an update may make true."""
    return st.sampled_from(
        (
            {"becomes": {"is": {"account.attributes.status": "churned"}}},
            {"becomes": {"is": {"account.tier": "high"}}},
            {"becomes": {"is": {"contact.active": False}}},
            {"becomes": {"is": {"account.attributes.seats": {"lte": 4}, "account.tier": {"ne": "low"}}}},
            {"becomes": {"is": {"contact.roles": {"contains": "admin"}}}},
        )
    )


@st.composite
def all_of(draw: Draw, ticks: bool = True) -> JSON:
    """An all_of with two or three members.

    `ticks`: members of the daily tick may be among them; these need a rule for accounts, without `by`.
    """
    kinds = [(3, easy()), (1, rising()), (2, absence()), (1, becomes())]
    if ticks:
        kinds += [(2, falling()), (1, trend()), (1, date())]
    others = draw(st.lists(often(*kinds), min_size=1, max_size=2))
    members = draw(st.permutations([draw(easy()), *others]))
    return {"all_of": {"of": members, "within": draw(SPANS)}}


@st.composite
def unless(draw: Draw) -> JSON:
    """An `unless`: a threshold that holds a firing back."""
    body: JSON = {"event": draw(st.sampled_from(("paid", "boom", "tick", "*")))}
    _sometimes(draw, body, "where", WHERES, 5)
    values = _aggregate(draw, body, ("count", "count", "sum", "max", "distinct"))
    if draw(st.integers(0, 3)):
        body["within"] = draw(SPANS)
    body[draw(st.sampled_from(("at_least", "at_least", "above")))] = draw(values)
    return {"threshold": body}


@st.composite
def rule(draw: Draw, when: st.SearchStrategy[JSON], *, split: bool, name: str = "r", held: int = 6) -> JSON:
    """A rule of one kind; `split`: scope and `by` make sense for it. One rule in `held` has an `unless`."""
    body: JSON = {"name": name, "when": draw(when), "status": "active"}
    if split:
        _sometimes(draw, body, "scope", st.just("contact"), 4)
        _sometimes(draw, body, "by", st.sampled_from(BYS), 5)
    _sometimes(draw, body, "where", STATES, 5)
    _sometimes(draw, body, "unless", unless(), held)
    cooldown = draw(COOLDOWNS)
    if cooldown is not None:
        body["cooldown"] = cooldown
    if draw(st.integers(0, 14)) == 14:
        body["status"] = draw(st.sampled_from(("shadow", "paused", "draft")))
    return body


def one(when: st.SearchStrategy[JSON], *, split: bool) -> st.SearchStrategy[list[JSON]]:
    """Usually a single rule; now and then a second one of the same kind."""
    first, second = rule(when, split=split), rule(when, split=split, name="s")
    return often((3, st.tuples(first).map(list)), (1, st.tuples(first, second).map(list)))


def from_then_on() -> st.SearchStrategy[list[JSON]]:
    """Thresholds with `since`."""
    return one(rising(since=1), split=True)


def moments() -> st.SearchStrategy[list[JSON]]:
    """Rules whose moments a save moves."""
    return st.tuples(
        rule(absence(), split=True), rule(often((2, date()), (1, falling())), split=False, name="s")
    ).map(list)


def moved(draw: Draw, rules: list[JSON]) -> list[JSON]:
    """The rules after a save that moves deadlines and dates."""
    rules = copy.deepcopy(rules)
    for target in rules:
        [(kind, body)] = target["when"].items()
        if kind == "absence":
            body["for"] = draw(tiered(SPANS))
        elif kind == "date":
            body["before" if "before" in body else "after"] = draw(tiered(SPANS))
    return rules


def held_back() -> st.SearchStrategy[list[JSON]]:
    """A rule with an `unless`, of a kind that fires often."""
    events = rule(often((2, easy()), (1, rising()), (1, absence())), split=True, held=1)
    moments = rule(often((2, falling()), (1, date())), split=False, held=1)
    return st.tuples(often((2, events), (1, moments))).map(list)


def contact_dates() -> st.SearchStrategy[list[JSON]]:
    """A date rule on contacts."""

    def scoped(body: JSON) -> list[JSON]:
        return [{**body, "scope": "contact"}]

    return rule(date("contact"), split=False).map(scoped)


def joint() -> st.SearchStrategy[list[JSON]]:
    """An all_of rule, either split or with members of the daily tick."""
    return st.one_of(one(all_of(ticks=False), split=True), one(all_of(), split=False))


def crowd() -> st.SearchStrategy[list[JSON]]:
    """Many rules that listen to the same events."""
    split = often((3, rising()), (2, absence()), (1, all_of(ticks=False)), (1, becomes()))
    whole = often((2, falling()), (1, trend()), (1, date()), (1, all_of()))
    these = [rule(split, split=True, name=f"s{n}") for n in range(6)]
    those = [rule(whole, split=False, name=f"w{n}") for n in range(3)]
    return st.tuples(*these, *those).map(list)


@st.composite
def large(draw: Draw) -> JSON:
    """A threshold that needs many events."""
    body: JSON = {"event": draw(EVENTS)}
    values = _aggregate(draw, body, ALL)
    _sometimes(draw, body, "within", st.sampled_from(("7d", "30d", "10d")), 2)
    many = tiered(st.sampled_from((10, 20, 21, 25, 30)))
    body["at_least"] = draw(many if values is COUNTS else values)
    return {"threshold": body}


def anything() -> st.SearchStrategy[list[JSON]]:
    """Several rules of all kinds at once."""
    split = st.one_of(rising(), absence(), all_of(ticks=False))
    whole = st.one_of(falling(), trend(), date(), becomes(), all_of())
    return st.tuples(
        rule(split, split=True), rule(whole, split=False, name="s"), rule(split, split=True, name="t")
    ).map(list)


def changed(draw: Draw, rules: list[JSON]) -> list[JSON]:
    """The rules after a save of one of them."""
    rules = copy.deepcopy(rules)
    target = rules[draw(st.integers(0, len(rules) - 1))]
    target.pop("backfill", None)
    [(kind, body)] = target["when"].items()
    what = draw(
        st.sampled_from(
            ("limit", "window", "cooldown", "where", "status", "by", "selector", "gone", "backfill")
        )
    )
    if what == "limit" and kind == "threshold":
        for operator in ("at_least", "above", "at_most", "below"):
            if operator in body:
                body[operator] = draw(COUNTS)
    elif what == "limit" and kind == "absence":
        body["for"] = draw(tiered(SPANS))
    elif what == "window" and kind == "threshold":
        body["within"] = draw(SPANS)
    elif what == "cooldown":
        target["cooldown"] = draw(COOLDOWNS.filter(bool))
    elif what == "where":
        target["where"] = draw(STATES)
    elif what == "status":
        target["status"] = draw(st.sampled_from(("active", "shadow", "paused")))
    elif what == "by" and kind in ("threshold", "absence") and "at_most" not in body and "below" not in body:
        target["by"] = "data.k"
    elif what == "selector" and kind in ("threshold", "absence"):
        body["where"] = draw(WHERES)
    elif what == "backfill" and target["status"] in ("active", "shadow"):
        target["backfill"] = True
    elif what == "gone" and len(rules) > 1:
        rules.remove(target)
    return rules


GUARDS = st.builds(
    lambda event, within: {"event": event, "within": within},
    st.sampled_from(("tick", "tick", "boom", ["tick", "paid"], "*")),
    st.sampled_from(("6h", "12h", "12h", "1d", "2d", "3d")),
)


def guarded(*, split: bool) -> st.SearchStrategy[list[JSON]]:
    """Rules with `alive`: of absences (`split`), or of the daily tick."""
    when = absence() if split else often((2, falling()), (1, trend()))
    plain = one(when, split=split)
    return st.tuples(plain, GUARDS, GUARDS).map(
        lambda these: [{**body, "alive": alive} for body, alive in zip(these[0], these[1:], strict=False)]
    )


def realive(draw: Draw, rules: list[JSON]) -> list[JSON]:
    """The rules after a save of one of them, in which `alive` may change, come or go."""
    if draw(st.booleans()):
        return changed(draw, rules)
    rules = copy.deepcopy(rules)
    target = rules[draw(st.integers(0, len(rules) - 1))]
    target.pop("backfill", None)
    if draw(st.integers(0, 2)):
        target["alive"] = draw(GUARDS)
    else:
        target.pop("alive", None)
    return rules
