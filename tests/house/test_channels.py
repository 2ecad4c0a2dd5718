"""A channel is its words, its package, and one line in each register. What one may forget is red here.

Every channel is built from the example of its own step, and sends to a real peer: what arrives, what may not be sent,
what is refused for good, and what is tried again, on its own schedule.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

import schemas.channels
import services.actions.channels
from backbone.settings import Settings
from schemas.channels.base import ChannelStep
from schemas.play_reasons import ActionReason
from schemas.playbook import CHANNEL_STEPS, Step
from schemas.template import TemplateIn
from services.actions.channels import CHANNELS, senders
from services.actions.channels.senders import SENDERS
from services.actions.channels.spec import ChannelSpec, register
from services.actions.plays.memory_rows import MemoryAction
from services.actions.storage import suppressions
from services.actions.storage.library import ENDPOINTS
from services.actions.tables import actions, attempts
from tests.house.test_pure import impurities
from tests.house.tree import name_of, parsed, python_files
from tests.services.delivery.kit import HASHER, House
from tests.unit.channels.helpers import SECRET
from tests.unit.channels.peers import PEERS, Peer, peer_of
from tests.unit.library.world import RENDER
from tests.unit.plays.kit import T0, World, account, book

SENT = [name for name, channel in CHANNELS.items() if not channel.makes_tasks]
WITHOUT_PACKAGE = {"base", "senders", "spec"}  # what all channels have in common


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(found.name)


# -- the registers


def test_every_package_is_a_registered_channel() -> None:
    there = {one.name for one in pkgutil.iter_modules(services.actions.channels.__path__)} - WITHOUT_PACKAGE
    assert there == set(CHANNELS) == set(SENDERS)
    specs = [
        value
        for module in _modules(services.actions.channels)
        for value in vars(module).values()
        if isinstance(value, ChannelSpec)
    ]
    assert {id(one) for one in specs} == {id(one) for one in CHANNELS.values()}


def test_every_channels_words_are_a_field_of_a_step() -> None:
    models = {
        value
        for module in _modules(schemas.channels)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ChannelStep) and value is not ChannelStep
    }
    assert models == set(CHANNEL_STEPS.values())
    assert set(CHANNEL_STEPS) == set(CHANNELS)


def test_every_channel_that_sends_has_a_peer() -> None:
    assert sorted(PEERS) == sorted(SENT)


def test_the_pure_halves_do_nothing_but_compute() -> None:
    """What they may import is the import contract's part: `plays/` imports them."""
    room = "services/actions/channels"
    pure = [path for path in python_files(room) if path.stem in {"spec", "__init__"}]
    assert len(pure) == 2 + 2 * len(CHANNELS)
    assert [
        f"{name_of(path)}:{line} {what}" for path in pure for line, what in impurities(parsed(path))
    ] == []


# -- what is forgotten fails when the registers are built


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(ChannelSpec)])
def test_a_spec_has_no_defaults(name: str, field: str) -> None:
    given = {one.name: getattr(CHANNELS[name], one.name) for one in dataclasses.fields(ChannelSpec)}
    del given[field]
    with pytest.raises(TypeError, match=field):
        ChannelSpec(**given)


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize(
    "lacks", [*sorted(ChannelStep.__class_vars__ - {"model_config"}), "references", "texts"]
)
def test_the_words_have_no_defaults(name: str, lacks: str) -> None:
    words = CHANNEL_STEPS[name]
    own = {key: value for key, value in vars(words).items() if key in ChannelStep.__class_vars__}
    own |= {"references": words.references, "texts": words.texts}
    type("Whole", (ChannelStep,), {**own, "__module__": __name__})
    del own[lacks]
    with pytest.raises(TypeError, match=lacks):
        type("Lacking", (ChannelStep,), {**own, "__module__": __name__})


@pytest.mark.parametrize("name", SENT)
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"schedule": ()}, "first temporary failure would be its last"),
        ({"schedule": (0,)}, "first temporary failure would be its last"),
        ({"events": {}}, "no end of an action tells of"),
        ({"events": {("done", None): "email.went"}}, "has no event email.went"),
        ({"hard_bounces": frozenset({"gone"})}, "there is no reason gone"),
        ({"name": "fax"}, "has no field fax"),
        ({"step": ChannelStep}, "has no field .* of ChannelStep"),
    ],
)
def test_the_register_refuses_what_does_not_fit(name: str, change: dict[str, Any], why: str) -> None:
    specs = [dataclasses.replace(one, **change) if key == name else one for key, one in CHANNELS.items()]
    with pytest.raises(ValueError, match=why):
        register(*specs)


@pytest.mark.parametrize("name", CHANNELS)
def test_a_channel_left_out_of_a_register_is_missed(name: str) -> None:
    with pytest.raises(ValueError, match=f"channel {name}: its step has no spec"):
        register(*(one for key, one in CHANNELS.items() if key != name))
    with pytest.raises(ValueError, match=f"only one half is registered: {name}"):
        senders.register({key: one for key, one in SENDERS.items() if key != name})


# -- from its example


def played(name: str) -> list[MemoryAction]:
    """What a playbook of one step, the channel's own example, brings forth; rendered in earnest."""
    words = CHANNEL_STEPS[name].model_validate(Step.model_fields[name].examples[0])
    templates = [
        TemplateIn(name=one, subject="Hi {{ contact.name }}", markdown="{{ account.name }}")
        for kind, one, _ in words.references()
        if kind == "template"
    ]
    step = {name: words.model_dump(mode="json", by_alias=True, exclude_unset=True)}
    world = World(book(steps=[step]), templates=templates, renderer=RENDER)
    people = [{"id": "ann", "name": "Ann", "email": "ann@acme.test", "attributes": {"phone": "+4930123456"}}]
    world.say(account(contacts=people))
    world.fire(T0)
    assert {one.type.removeprefix("touchline.") for one in world.store.events} >= {
        "play.finished", *CHANNEL_STEPS[name].emits[:1],
    }  # fmt: skip
    return list(world.store.actions.values())


@pytest.mark.parametrize("name", CHANNELS)
def test_its_example_becomes_an_action(name: str) -> None:
    (made,) = played(name)
    assert (made.channel, made.status, made.reason) == (name, "done", None)
    assert made.recipient
    assert made.rendered
    assert msgspec.json.decode(msgspec.json.encode(made.rendered)) == made.rendered
    assert "{{" not in str(made.rendered)


# -- into the world


@pytest.fixture(params=SENT)
def sent(request: Any, tmp_path: Path) -> Iterator[Sent]:
    with peer_of(request.param) as peer:
        made = Sent(request.param, peer, tmp_path)
        yield made
        made.house.close()


class Sent:
    """The action of a channel's example in a database, and the loop that is to send it to the channel's peer."""

    def __init__(self, name: str, peer: Peer, folder: Path) -> None:
        self.channel, self.peer, self.house = CHANNELS[name], peer, House(folder)
        self.house.settings = Settings(data_dir=folder, _env_file=None, **peer.settings)  # type: ignore[call-arg]
        (self.action,) = played(name)
        if self.channel.to_endpoints:
            document = {"url": peer.url, "secret": SECRET}
            with self.house.db.write() as conn:
                ENDPOINTS.put(conn, str(self.action.recipient), document, "test", 0)

    def send(self) -> tuple[str, str | None]:
        """Put the action there and see what becomes of it: its status and reason."""
        self.house.put(
            "act_1", channel=self.channel.name, recipient=self.action.recipient, rendered=self.action.rendered
        )  # fmt: skip
        self.loop = self.house.loop(**{self.channel.name: SENDERS[self.channel.name]})
        self.house.settled()
        return self.house.states()["act_1"]

    def told(self) -> list[str]:
        """The kinds of events about the action."""
        return [msgspec.json.decode(one)["type"].removeprefix("touchline.") for one in self.house.events()]


def test_it_sends(sent: Sent) -> None:
    sent.peer.accept()
    assert sent.send() == ("done", None)
    assert sent.peer.taken() == 1
    assert sent.told() == [sent.channel.events["done", None]]


def test_who_forbade_it_gets_nothing_where_consent_is_needed(sent: Sent) -> None:
    sent.peer.accept()
    recipient = str(sent.action.recipient)
    with sent.house.db.write() as conn:
        digest = HASHER.digest(recipient)
        suppressions.add(conn, digest, "lifecycle", recipient, "unsubscribed", 0)
    if sent.channel.needs_consent:
        assert sent.send() == ("skipped", ActionReason.SUPPRESSED)
        assert (sent.peer.taken(), sent.told()) == (0, [])
    else:
        assert sent.send() == ("done", None)
        assert sent.peer.taken() == 1


def test_what_is_refused_for_good_is_not_tried_again(sent: Sent) -> None:
    sent.peer.refuse()
    status, reason = sent.send()
    assert (status, sent.peer.taken()) == ("failed", 0)
    assert sent.house.attempts("act_1") == [(1, "permanent", True)]
    kind = sent.channel.event(status, reason)
    assert sent.told() == ([] if kind is None else [kind])
    gone = reason in sent.channel.hard_bounces
    assert len(sent.house.suppressed()) == gone
    assert gone == bool(sent.channel.hard_bounces), (
        "a peer that refuses the recipient is what a hard bounce is"
    )


def test_what_is_put_off_is_tried_again_on_its_schedule(sent: Sent) -> None:
    sent.peer.put_off()
    status, _ = sent.send()
    assert (status, sent.told()) == ("retrying", [])
    ((action,), (attempt,)) = sent.house.rows(actions), sent.house.rows(attempts)
    first = sent.channel.schedule[0]
    assert first <= action.next_attempt_at - attempt.ended_at <= first * 1.1 + 1
    sent.peer.accept()
    with sent.house.db.write() as conn:
        conn.execute(update(actions).values(next_attempt_at=1))
    sent.loop.wake()
    sent.house.until(lambda: sent.house.states()["act_1"][0] == "done")
    assert [outcome for _, outcome, _ in sent.house.attempts("act_1")] == ["temporary", "done"]
    assert sent.peer.taken() == 1
