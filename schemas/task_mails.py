"""Mails to assignees: when a task is given to them, and every morning. One document; without it there are none."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from schemas.addresses import BadAddress, normal, valid_address
from schemas.answers import Answer, Time
from schemas.fields import OF_VERSIONS, Strict, invalid
from schemas.policy import Clock, Days, Weekday, Zone

KIND = "task-mails"
MOST_PEOPLE = 1_000
NOTHING_LEFT = "nothing_left"  # a reason: there is nothing to tell any more
WORKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri")
TaskMailStatus = Literal["pending", "retrying", "done", "failed", "skipped", "uncertain"]
Switch = Annotated[bool, Field(strict=True)]


class MorningMail(Strict):
    """When the morning mail goes out, by the clock of its reader."""

    at: Clock = Field("08:00", description="The time of day. Default: 08:00.", examples=["08:00"])
    days: Days = Field(
        list(WORKDAYS),
        description="The days of the week. Default: Monday to Friday.",
        examples=[["mon", "tue", "wed", "thu", "fri"]],
    )


class OneAssignee(Strict):
    """What differs for one assignee."""

    timezone: Zone | None = Field(
        None, description="The assignee's timezone, as an IANA name.", examples=["America/New_York"]
    )
    made: Switch = Field(True, description="`false`: no mail about single tasks.", examples=[False])
    morning: Switch = Field(True, description="`false`: no morning mail.", examples=[False])


class TaskMailsDoc(Strict):
    """Which mails assignees get about their tasks. An empty document means none."""

    read_only: ClassVar[frozenset[str]] = OF_VERSIONS

    made: Switch = Field(
        False,
        description="Whether an assignee gets a mail when a task is made for them or handed over to them. A person who "
        "does that to themselves gets none. After three mails within 10 minutes, the tasks that follow are joined in "
        "one mail.",
        examples=[True],
    )
    morning: MorningMail | None = Field(
        None,
        description="The morning mail: what is overdue, due today and due this week. Null: there is none. Nobody gets "
        "one who has nothing of that to do.",
        examples=[{"at": "08:00"}],
    )
    timezone: Zone | None = Field(
        None,
        description="The timezone of assignees who have none in `people`, as an IANA name. Default: that of the "
        "sending policy, else UTC.",
        examples=["Europe/Paris"],
    )
    people: dict[str, OneAssignee] = Field(
        {},
        max_length=MOST_PEOPLE,
        description="What differs for single assignees, by address.",
        examples=[{"kim@us.test": {"timezone": "America/New_York", "morning": False}}],
    )

    @model_validator(mode="after")
    def _people(self) -> Self:
        seen: set[str] = set()
        for address in self.people:
            try:
                valid_address(address)
            except BadAddress as error:
                raise invalid(
                    "holds {address}, which is no email address: {why}",
                    address=repr(address[:100]), why=str(error), at="people",
                ) from None  # fmt: skip
            if normal(address) in seen:
                raise invalid("names {address} twice", address=address, at="people")
            seen.add(normal(address))
        return self


TASK_MAILS_EXAMPLE: dict[str, Any] = {
    "made": True,
    "morning": {"at": "08:00", "days": ["mon", "tue", "wed", "thu", "fri"]},
    "timezone": "Europe/Paris",
    "people": {"kim@us.test": {"timezone": "America/New_York", "made": False}},
}


class TaskMailOut(Answer):
    """A mail about tasks, and what became of it."""

    id: str = Field(description="The id. The mail's Message-ID begins with it.", examples=["tm_9f2c"])
    kind: Literal["made", "morning"] = Field(
        description="About tasks that were given to somebody, or of a morning."
    )
    assignee: str = Field(description="The address.", examples=["jo@us.test"])
    status: TaskMailStatus = Field(
        description="As for actions. `uncertain`: a process ended in the middle; it is not sent again."
    )
    reason: str | None = Field(
        description="As for actions, and `nothing_left`: the tasks had been done, closed, put off or handed over "
        "before the mail began, or such mails had been turned off.",
        examples=["not_on_list"],
    )
    sentence: str | None = Field(description="The reason in plain English.")
    detail: str | None = Field(description="How the last attempt ended, for people.")
    attempts: int = Field(description="How many attempts have begun.", examples=[1])
    tasks: list[str] = Field(
        description="The ids of the tasks that it tells of. Of a morning mail: that it listed."
    )
    moment: Time | None = Field(description="The moment of a morning mail.")
    due_at: Time = Field(description="When it was planned.")
    done_at: Time | None = Field(description="When it ended.")
