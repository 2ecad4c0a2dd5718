"""A trigger kind is its words, its meaning and its oracle: a file each, a line in each register, and nothing forgotten.

docs/recipes/trigger-kind.md lists the places; each of them, left out, makes a test here fail.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from schemas import when as words
from schemas.reasons import Reason
from schemas.rule import RuleIn
from schemas.trigger_kinds.base import KindWords, check_words
from services.rules.engine import kinds as meanings
from services.rules.engine.erasure import forget_contact
from services.rules.engine.eviction import clear_old
from services.rules.engine.kinds.base import TriggerKind
from services.rules.engine.state_codec import decode, encode
from tests.house.tree import ROOT
from tests.oracle import kinds as truths
from tests.oracle import run
from tests.oracle.kinds.base import Kind, Story
from tests.unit.engine.world import World, rule, us
from tests.unit.engine_differential.cases import case, ev
from tests.unit.engine_differential.comparing import differences
from tests.unit.engine_differential.engine_runner import plain, run_engine

WORDS: dict[str, type[KindWords]] = words.KINDS
MEANINGS: dict[str, type[TriggerKind]] = meanings.KINDS
TRUTHS: dict[str, Kind] = truths.KINDS
FOLDERS: dict[str, tuple[set[str], type]] = {
    "schemas/trigger_kinds": (set(WORDS), KindWords),
    "services/rules/engine/kinds": (set(MEANINGS), TriggerKind),
    "tests/oracle/kinds": (set(TRUTHS), Kind),
}
NO_KINDS = {"__init__", "base", "all_of"}
NAMES = sorted(WORDS.keys() | MEANINGS.keys() | TRUTHS.keys())
PLACES = [(folder, path.stem) for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.py"))]


def lacks(name: str) -> str:
    """Where the kind is not registered."""
    return ", ".join(folder for folder, (known, _) in FOLDERS.items() if name not in known)


# -- files and registers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_kind_is_in_every_register_and_has_its_files(name: str) -> None:
    assert lacks(name) == ""
    assert [folder for folder in FOLDERS if not (ROOT / folder / f"{name}.py").is_file()] == []


@pytest.mark.parametrize(("folder", "stem"), PLACES)
def test_every_file_is_registered(folder: str, stem: str) -> None:
    """A class of a kind in a file that no register names would do nothing."""
    known, base = FOLDERS[folder]
    module = importlib.import_module(f"{folder.replace('/', '.')}.{stem}".removesuffix(".__init__"))
    own = [
        name
        for name, one in inspect.getmembers(module, inspect.isclass)
        if issubclass(one, base) and one is not base and one.__module__ == module.__name__
    ]
    assert (stem in known) == bool(own), f"{folder}/{stem}.py has {own}, the register has {sorted(known)}"
    assert stem in known or stem in NO_KINDS


@pytest.mark.parametrize("name", NAMES)
def test_a_kind_is_written_about(name: str) -> None:
    page = Path(ROOT / "docs/writing-playbooks.md").read_text(encoding="utf-8")
    assert f"`{name}`" in page or f"{name}:" in page


# -- words ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_words_have_an_example_for_each_field_that_has_to_be_given(name: str) -> None:
    body = WORDS[name].model_validate(WORDS[name].example)
    for field, info in WORDS[name].model_fields.items():
        assert info.examples or not info.is_required(), field
        assert info.description, field
    for tier in ("high", "low", "tech"):
        assert body.default_cooldown(tier)
    assert isinstance(body.at_tick, bool)
    assert isinstance(body.has_event, bool)


# -- one that fires, one that does not -----------------------------------------------------------------------------


def told(name: str, story: Story, *, restarts: bool = False) -> World:
    """The story in a world, with the state as its bytes and back after every event if it `restarts`."""
    world = World(rule({name: story.body}))
    for short, type_, data in story.events:
        world.ev(short, type_, contact=None, **data)
        if restarts:
            world.restart()
    return world.clock(story.until)


@pytest.mark.parametrize("name", NAMES)
def test_one_that_fires_and_one_that_does_not(name: str) -> None:
    kind, body = TRUTHS[name], WORDS[name].model_validate(TRUTHS[name].fires.body)
    world = told(name, kind.fires)
    assert len(world.triggers) == 1
    trigger = world.triggers[0]
    assert Reason(trigger.reason) in MEANINGS[name].reasons
    assert (trigger.event is not None) == body.has_event
    assert (trigger.value is not None) == body.has_value
    assert (trigger.window is not None) == body.has_value
    assert (trigger.threshold is not None) == body.has_threshold
    assert (trigger.figures is not None) == body.has_figures
    assert told(name, kind.does_not_fire).told == []
    for story in (kind.fires, kind.does_not_fire):
        explained = told(name, story).explain("02-01T00:00")
        assert Reason(explained["reason"]) in MEANINGS[name].reasons | {Reason.COOLDOWN}
        assert explained["sentence"]


@pytest.mark.parametrize("name", NAMES)
def test_its_oracle_says_the_same(name: str) -> None:
    for story in (TRUTHS[name].fires, TRUTHS[name].does_not_fire):
        steps = [ev(short, type_, **data) for short, type_, data in story.events]
        document = {"name": "r", "when": {name: story.body}, "status": "active"}
        history = case(name, [document], steps, until=story.until).history
        assert differences(run(history), [plain(one) for one in run_engine(history)]) == []


# -- state ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_its_state_survives_its_bytes_and_a_sweep_and_an_erasure(name: str) -> None:
    story = TRUTHS[name].fires
    assert told(name, story, restarts=True).told == told(name, story).told
    world = told(name, story)
    state = world.accounts.states["acme"]
    assert encode(decode(encode(state))) == encode(state)
    kept = {kind: set(of_kind) for kind, of_kind in state.kept.items() if of_kind}
    assert kept.keys() <= ({name} if MEANINGS[name].state is not None else set())
    for one in [one for of_kind in state.kept.values() for one in of_kind.values()]:
        assert msgspec.msgpack.encode(type(one).restored(one.stored()).stored())
    clear_old(state, world.engine.rules)
    state.newest = us("12-31T00:00")  # long after
    clear_old(state, world.engine.rules)
    assert state.stores == {}, "its series have no end: it says no look_back"
    forget_contact(state, "ann")
    assert encode(decode(encode(state))) == encode(state)


@pytest.mark.parametrize("name", NAMES)
def test_a_person_who_is_erased_is_in_nothing_that_it_keeps(name: str) -> None:
    story = TRUTHS[name].fires
    for scope in ("account", "contact") if TRUTHS[name].split else ("account",):
        world = World(rule({name: story.body}, scope=scope))
        for short, type_, data in story.events:
            world.ev(short, type_, contact="ann-the-person", **data)
        state = world.accounts.states["acme"]
        forget_contact(state, "ann-the-person")
        kept = [one.stored() for of_kind in state.kept.values() for one in of_kind.values()]
        keys = [key for of_kind in state.kept.values() for key in of_kind]
        assert b"ann-the-person" not in msgspec.msgpack.encode([keys, kept])


# -- what may be forgotten -----------------------------------------------------------------------------------------


def without(kind: type[TriggerKind], name: str) -> Any:
    """The kind as it were if its author had forgotten this."""
    own = {key: value for key, value in vars(kind).items() if key not in (name, "__dict__", "__weakref__")}
    return type(kind)(kind.__name__, kind.__bases__, own)


TRAITS = (
    "name", "words", "reasons", "state", "restarts_on", "restarts_if_longer", "keeps", "selectors", "arrive", "verdict",
    "share",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("trait", TRAITS)
def test_a_forgotten_trait_fails_when_the_register_is_made(name: str, trait: str) -> None:
    with pytest.raises(TypeError, match=name):
        meanings.check_register({**MEANINGS, name: without(MEANINGS[name], trait)})


@pytest.mark.parametrize(
    ("name", "trait"),
    [
        ("date", "reason"), ("absence", "ticks"), ("becomes", "moments"), ("becomes", "before"),
        ("trend", "tick"), ("absence", "falls_due"), ("absence", "sweep"), ("date", "sweep"),
    ],
)  # fmt: skip
def test_a_forgotten_answer_fails_too(name: str, trait: str) -> None:
    with pytest.raises(TypeError, match=trait):
        meanings.check_register({**MEANINGS, name: without(MEANINGS[name], trait)})


@pytest.mark.parametrize("name", NAMES)
def test_a_field_of_which_nobody_said_what_a_save_does_fails(name: str) -> None:
    for trait in ("restarts_on", "restarts_if_longer", "keeps"):
        for field in getattr(MEANINGS[name], trait):
            rest = tuple(one for one in getattr(MEANINGS[name], trait) if one != field)
            forgetful = type(f"{name}_", (MEANINGS[name],), {trait: rest})
            with pytest.raises(TypeError, match=f"has to say once what a save of {field}"):
                meanings.check_register({**MEANINGS, name: forgetful})


def test_a_state_that_does_not_say_how_a_person_leaves_it_fails() -> None:
    kind = MEANINGS["absence"]
    state = type("State", (kind.state.__bases__[0],), {}) if kind.state is not None else None
    with pytest.raises(TypeError, match="forget"):
        meanings.check_register({**MEANINGS, "absence": type("Forgetful", (kind,), {"state": state})})


@pytest.mark.parametrize("name", NAMES)
def test_words_without_a_meaning_fail(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        meanings.check_register({one: kind for one, kind in MEANINGS.items() if one != name})


class _Whole(KindWords):
    """Words that lack nothing."""

    example: ClassVar[dict[str, Any]] = {}
    has_value = False
    has_threshold = False
    at_tick: ClassVar[bool] = False
    has_event: ClassVar[bool] = True

    def default_cooldown(self, tier: str) -> str:
        """None."""
        return "0s"


@pytest.mark.parametrize(
    "trait", ["example", "has_value", "has_threshold", "at_tick", "has_event", "default_cooldown"]
)
def test_forgotten_words_fail_when_the_register_is_made(trait: str) -> None:
    assert check_words("whole", _Whole) is _Whole
    own = {key: value for key, value in vars(_Whole).items() if key in (
        "example", "has_value", "has_threshold", "at_tick", "has_event", "default_cooldown",
    ) and key != trait}  # fmt: skip
    notes = {key: ClassVar[Any] for key in own if key != "default_cooldown"}
    forgetful = type(_Whole)(
        "Forgetful", (KindWords,), {**own, "__annotations__": notes, "__module__": __name__}
    )
    with pytest.raises(TypeError, match=trait):
        check_words("forgetful", forgetful)


def test_a_rule_of_each_example_compiles() -> None:
    for name in NAMES:
        document = RuleIn.model_validate({"name": name, "when": {name: WORDS[name].example}})
        assert document.when.kind == name
        assert World(rule({name: WORDS[name].example})).engine.rules.rules[0].reason in Reason
