"""The words of the actions service as plain structs: plays, waits, drafts of actions, and rendered content.

Everything here is pure data. Moments are microseconds since the epoch (UTC); durations are in microseconds.

How an action lives: the step machine drafts it (`ActionDraft`). Before the worker commits, the draft is rendered
into its final content (`Rendered`), which is stored in the action's row. So a mail depends on nothing but the
position in the log at which its step ran. A task is done by that commit; the delivery loop later leases and sends
the actions that are `pending`.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Literal, Protocol

import msgspec

PlayStatus = Literal["open", "finished", "exited", "skipped", "held", "held_out"]
ActionStatus = Literal["pending", "retrying", "done", "failed", "skipped", "uncertain"]
TaskStatus = Literal["open", "snoozed", "completed", "closed"]

LIVE: tuple[PlayStatus, ...] = ("open", "held")  # a subject has one such play of a playbook at most
SENDABLE: tuple[ActionStatus, ...] = ("pending", "retrying")  # what the delivery loop may lease
OPEN_TASK: tuple[TaskStatus, ...] = ("open", "snoozed")
SOURCE = "touchline"  # the `source` of Touchline's own events


class Wait(msgspec.Struct, kw_only=True):
    """The wait that an open play stands at. Its `until` events are found by the play's step, in the version of the
    playbook that the play holds. Of a held play, `due` is when it has been held too long; once it was released, `due`
    lies before all times and is its place among those released with it."""

    due: int
    until: bool = False  # an event may end it before it is due
    dated: bool = False  # `due` follows an attribute; reckoned anew when the account or contact is updated
    came: bool = False  # the event came while the play stood still


class Play(msgspec.Struct, kw_only=True):
    """One run of a playbook. `trigger` is the trigger as JSON object (contract, section 6)."""

    id: str
    playbook: str
    playbook_version: int | None
    rule: str
    trigger_id: str
    account: str
    contact: str | None
    key: str | None
    scope: str = "account"  # of the rule; with `contact`, the subject is the contact
    tier: str
    topic: str = "lifecycle"
    status: PlayStatus
    reason: str | None = None
    step: str | None = None
    started_at: int
    held_at: int | None = None  # since when it is held; once it has begun, since when it was
    released: int | None = None  # the stamp of its release (see `Hold`); None: it was not released
    counts: bool = False  # it began, and counts towards the playbook's limit
    ended_at: int | None = None
    wait: Wait | None = None
    trigger: dict[str, Any] = {}
    templates: dict[str, int] = {}  # the versions that hold for the whole play
    depth: int = 0  # the depth of the event at which the trigger fired; events about this play have one more
    # Offset at which the trigger was decided; None: the play is older than this field.
    place: int | None = None
    watched: dict[str, Any] = {}  # path to the value at the trigger's place; another one ends the play
    partition: int = 0
    began_at: int | None = None  # or would have, were it not held out; None: it has not
    goal_until: int | None = None  # the last moment at which its goal counts; None: it is not watched
    goal_reached_at: int | None = None  # time of the first event that reached it
    waited: int = 0  # its waits so far, added up; waits for a date are none of these


class ActionSpec(msgspec.Struct, kw_only=True):
    """What a draft keeps of its step, for rendering. Each channel has its own struct.

    `internal`: the recipient is the owner or a fixed address, with nothing to unsubscribe from.
    """

    internal: bool = False

    @property
    def ready(self) -> dict[str, Any] | None:
        """The content, if nothing in it is a template."""
        return None


class TaskSpec(ActionSpec, kw_only=True):
    """A task; `title`, `body` and `key` are templates. Without a `key`, `default_key` stands as it is."""

    title: str
    body: str | None = None
    assignee: str | None = None
    due_at: int | None = None
    priority: str | None = None
    key: str | None = None
    default_key: str


class Approval(msgspec.Struct, frozen=True):
    """A draft has to be approved by `until`. `approver` is an address; None: the account has no owner with one."""

    approver: str | None
    until: int


class ActionFacts(msgspec.Struct, kw_only=True):
    """Whose action it is, what made it, and where it goes."""

    id: str
    play: str
    playbook: str
    account: str
    contact: str | None
    channel: str
    step: str
    recipient: str | None  # an email address, a task's assignee, an endpoint's name


class ActionDraft(ActionFacts, kw_only=True):
    """The action that a step produced for one recipient.

    `status` is pending; or it is skipped or failed, with a reason, and the draft is not rendered.
    `context` holds the names in scope of templates: account, contact, owner, trigger, tier, now (RFC 3339); rendering
    adds `unsubscribe_url`. `account` and the others are JSON objects whose known fields are always there.
    """

    topic: str
    rule: str
    tier: str
    status: ActionStatus = "pending"
    reason: str | None = None
    due_at: int
    priority: int | None = None  # of the playbook; None: the default
    late_at: int | None = None  # the last moment at which it may begin
    waited: int = 0  # the waits of the play before it, added up
    depth: int = 0  # of the play, and so is `place`
    place: int | None = None
    digest: str | None = None  # the key of the digest that it is, or was to go with
    spec: ActionSpec
    context: dict[str, Any] = {}
    approval: Approval | None = None  # None: it goes out without one

    @property
    def makes_task(self) -> bool:
        """Whether a person gets a task with it, if it can be rendered."""
        return self.status == "pending" and (isinstance(self.spec, TaskSpec) or self.approval is not None)


class Leased(ActionFacts, kw_only=True):
    """An action to carry out; `rendered` is its final content. Times are in microseconds, wall clock."""

    topic: str
    attempts: int  # how many have begun so far
    tries_before: int = 0  # of these, those before somebody asked for it again
    due_at: int
    begun_at: int | None = None  # when the first attempt began; None: none did
    waits: bool = False  # see the column
    rendered: dict[str, Any]
    interrupted: bool  # the last attempt began and its process died: it may have had its effect


class RenderJob(msgspec.Struct, kw_only=True):
    """One draft to be rendered."""

    draft: ActionDraft


class Rendered(msgspec.Struct, kw_only=True):
    """The final content of an action, as its row stores it and the API shows it.

    Each channel's `spec.content` defines its fields. A task has {"title", "body", "key"}, with a null key if the step
    gave no key.
    """

    content: dict[str, Any]


class RenderFailure(msgspec.Struct, kw_only=True):
    """A draft that could not be rendered: its action fails with this reason; the play goes on."""

    reason: str
    detail: str


class DraftRendering(Protocol):
    """Turns drafts into content; bounded in time and memory, whatever the templates do."""

    def render_many(self, jobs: Sequence[RenderJob]) -> list[Rendered | RenderFailure]:
        """One answer per job, in order. Nothing that a template does raises an error."""
        ...

    def check(self, sources: dict[str, str]) -> list[tuple[str, str]]:
        """The errors in templates that are given by field: (field, message) each; empty if all can be read."""
        ...


class OwnEvent(msgspec.Struct, kw_only=True):
    """An event of Touchline's own, on its way to the log by the outbox; `type` begins with `touchline.`."""

    id: str
    type: str
    account: str
    contact: str | None
    time: int
    data: dict[str, Any]


class Sighting(msgspec.Struct, frozen=True):
    """When an event was seen: its own time, and the partition's clock then.

    `said` is its fingerprint, negative if it was forwarded from a merged account; None: it was not kept.
    """

    time: int
    at: int
    said: int | None = None


class Cancel(msgspec.Struct):
    """Send nothing more of this play: actions that wait are skipped with the reason.

    `tried_only`: with the log clock, an action that has not been tried yet counts as sent when its step ran. Only its
    delivery lags behind the log, and that lag must not decide whether a customer in a replay got the mail. A mail that
    waits for the sending policy or an approval has not begun, and is skipped. `waiting_only`: nothing else is.
    """

    play: str
    reason: str
    at: int
    tried_only: bool = False
    waiting_only: bool = False


class DigestItem(msgspec.Struct, kw_only=True):
    """What a step has put on a digest for one recipient. It waits until the digest's mail goes out.

    `id` is that of the action which tells of it if it is left out. It is collected for the first digest after `since`:
    when its step ran (`at`), or a digest that it could not go with, since its playbook was paused. `due` is the moment
    of its digest, if no earlier item decides on another. `scope`: account, contact, owner and trigger, as templates see
    them.
    """

    id: str
    play: str
    playbook: str
    rule: str
    account: str
    contact: str | None
    tier: str
    topic: str
    step: str
    recipient: str  # an address
    to_name: str | None = None
    internal: bool = False
    key: str
    template: str
    version: int | None  # of the template; None: there was none
    time: str  # the step's `at`, and so are the next two
    days: list[str] | None = None
    at_most: int
    zone: str | None = None
    at: int
    since: int
    due: int
    gone_at: int | None = None  # since when its play obeys an exit; digests from before it have it still
    priority: int | None = None  # as `ActionDraft` has them, and so are the next three
    waited: int = 0
    depth: int = 0
    place: int | None = None
    partition: int = 0
    scope: dict[str, Any] = {}


class LeaveDigests(msgspec.Struct):
    """Take a play's items from the digests that have not gone out yet, with the reason `play_exited`.

    `timely`: with the log clock, a digest that was due before `at` counts as sent when it was due, and keeps its items.
    """

    play: str
    at: int
    timely: bool = False


class CloseTasks(msgspec.Struct):
    """Close the open tasks of this play with the reason."""

    play: str
    reason: str
    at: int


class Awaited(msgspec.Struct, frozen=True):
    """An action, with its play, that somebody has to approve by `until`."""

    action: str
    play: str
    until: int


class NotApproved(msgspec.Struct, frozen=True):
    """Nobody approved this action by `until`: it is skipped at `at`, unless it was decided on meanwhile."""

    action: str
    play: str
    until: int
    at: int


class StepNote(msgspec.Struct):
    """A step that made no action, for the play's history: why the play went on, or which way it took."""

    play: str
    account: str
    step: str
    reason: str  # a `StepReason`
    at: int


class ControlRecord(msgspec.Struct, frozen=True):
    """A control record on its way to this partition's log, by the outbox."""

    id: str
    type: str
    time: int
    data: dict[str, Any]


Op = (
    # what the step machine leaves for the store, in order
    ActionDraft
    | DigestItem
    | Cancel
    | LeaveDigests
    | CloseTasks
    | NotApproved
    | OwnEvent
    | StepNote
    | ControlRecord
)


def play_id(trigger: str, playbook: str) -> str:
    """The id of the play that a trigger starts; the same trigger gives the same id."""
    return "ply_" + _digest(trigger, playbook)


def action_id(play: str, step: str, recipient: str) -> str:
    """The id of an action: a function of the play, the step and the recipient."""
    return "act_" + _digest(play, step, recipient)


def digest_id(recipient: str, key: str, moment: int) -> str:
    """The id of the mail that a digest sends at a moment; `recipient` is an address in the form that compares."""
    return "act_" + _digest("digest", recipient, key, str(moment))


def digest_name(recipient: str, key: str) -> str:
    """What joins items: a hash of the recipient, an address in the form that compares, and the key."""
    return _digest("digest", recipient, key)


def event_id(kind: str, *parts: str) -> str:
    """The id of an event of Touchline's own: a function of its kind and the ids of what it tells about."""
    return "evt_" + _digest(kind, *parts)


def _digest(*parts: str) -> str:
    """A hash of 26 hexadecimal digits; a length before each part keeps ("ab", "c") and ("a", "bc") apart."""
    digest = blake2b(digest_size=13)
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(4, "big") + raw)
    return digest.hexdigest()
