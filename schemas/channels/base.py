"""What the steps of all channels have in common: their manners, and what a channel says of itself in words."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from schemas.addresses import is_address
from schemas.duration import PLAIN_PATTERN, parse_duration
from schemas.fields import Strict


def _recipient(text: str) -> str:
    if text in {"contact", "all", "owner"} or (text.startswith("role:") and len(text) > len("role:")):
        return text
    if not is_address(text):
        raise ValueError("must be contact, role:<role>, all, owner or an email address")
    return text


def _delay(text: str) -> str:
    parse_duration(text)
    return text


def _person(text: str) -> str:
    if text != "owner" and not is_address(text):
        raise ValueError("must be owner or an email address")
    return text


Recipient = Annotated[str, Field(max_length=320), AfterValidator(_recipient)]
Delay = Annotated[
    str, Field(strict=True, json_schema_extra={"pattern": PLAIN_PATTERN}), AfterValidator(_delay)
]  # a duration, which may be nothing: 0s
Person = Annotated[str, Field(max_length=320), AfterValidator(_person)]


def is_internal(to: str) -> bool:
    """Whether a recipient is the owner or a fixed address, and no contact of a customer's."""
    return to == "owner" or is_address(to)


class ChannelStep(Strict):
    """A step that makes actions of one channel. The fields are what a playbook says; the rest tells the other rooms
    about the channel, and has no defaults: a channel that leaves something out fails when it is imported.

    `events`: what tells of an end of its actions: kind (`email.sent`) and description.
    `emits`: the kinds of events that follow from the step by itself, and not from what people do.
    `thing`: an action of the channel, with its article: `an email`; `thing_for`: one with the recipient `{to}`.
    `done`: a sentence without its full stop on an action that was carried out; `{to}` is its recipient.
    `peer`: what took or refused it, for sentences; `{to}` is the recipient, `nobody` stands where there is none.
    """

    events: ClassVar[Mapping[str, str]]
    emits: ClassVar[tuple[str, ...]]
    thing: ClassVar[str]
    thing_for: ClassVar[str]
    done: ClassVar[str]
    peer: ClassVar[str]
    nobody: ClassVar[str]

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        lacks = [name for name in ChannelStep.__class_vars__ if not hasattr(cls, name)]
        lacks += [name for name in ("references", "texts") if name not in vars(cls)]
        if lacks:
            raise TypeError(f"{cls.__name__} lacks {', '.join(sorted(lacks))}")

    def follows(self, tier: str) -> tuple[str, ...]:  # noqa: ARG002
        """The kinds of events that follow from this step by itself, in a play of the tier."""
        return self.emits

    @abstractmethod
    def references(self) -> Iterator[tuple[str, str, str]]:
        """Every (kind of document, name, field) that the step names: ("template", "hello", "template")."""

    @abstractmethod
    def texts(self) -> Iterator[tuple[str, str]]:
        """Every (field, template) that stands in the step itself: ("title", "Call {{ account.name }}")."""
