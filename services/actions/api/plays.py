"""`/v1/plays` and `/v1/actions`: what was done and rendered, every attempt, and ending a play by hand."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from sqlalchemy import Row, select

from backbone.audit import AuditTrail
from backbone.clock import Clock
from backbone.database import Database
from backbone.errors import NotFound, StateConflict
from backbone.web.api_keys import Principal, require
from backbone.web.app import Pages, json_response, page
from backbone.web.audit import Trail
from backbone.web.json_route import JsonRoute, example
from backbone.web.pagination import Ids, Text, among
from schemas.answers import page_of
from schemas.fields import EmptyBody
from schemas.play import ActionDetail, ActionOut, PlayDetail, PlayOut
from schemas.play_reasons import ActionReason, PlayReason
from schemas.playbook import ChannelName
from services.actions.api.details import Details
from services.actions.api.filters import Narrowed
from services.actions.api.history import history_of
from services.actions.api.views import action_view, play_view
from services.actions.metrics import count_plays
from services.actions.plays.interpreter import Interpreter
from services.actions.plays.model import ActionStatus, Play, PlayStatus
from services.actions.storage import digests, ownership, search_columns
from services.actions.storage.library import SqlLibrary
from services.actions.storage.plays import PlayStore
from services.actions.tables import actions, plays

ExitBody = Annotated[EmptyBody | None, example({})]
Recipient = Annotated[
    str | None,
    Query(min_length=1, max_length=320, description="An email address, or the name of an endpoint."),
]


class Times:
    """The current time for an account: the wall clock's, or with the log clock that of its partition."""

    def __init__(self, db: Database, clock: Clock, *, log_clock: bool) -> None:
        self._db, self._clock, self.log_clock = db, clock, log_clock

    def now(self, connection: Any, partition: int | None) -> int:
        """The time in microseconds. Without a partition: the wall clock, or the partition clock furthest ahead."""
        if not self.log_clock:
            return self._clock.now()
        if partition is not None:
            return ownership.clock_of(connection, partition)
        return max((row.clock for row in ownership.positions(connection).values()), default=0)

    def oldest(self, connection: Any) -> int:
        """The wall clock's time, or with the log clock that of the partition furthest behind."""
        if not self.log_clock:
            return self._clock.now()
        return min((row.clock for row in ownership.positions(connection).values()), default=0)


def router(
    db: Database,
    clock: Clock,
    times: Times,
    partitions: int,
    changed: Callable[[], None],
    details: Details = Details(),
) -> APIRouter:
    """The routes. `changed` is called when records were put into the outbox."""
    ends = PlayEndings(db, clock, times, partitions, changed)
    routes = APIRouter(tags=["plays"], route_class=JsonRoute)
    _plays(routes, db)
    _actions(routes, db, details)

    @routes.post(
        "/v1/plays/{play}/exit",
        summary="End an open play: send nothing more and close its tasks",
        response_model=PlayOut,
    )
    def exit_play(
        play: str, trail: Trail, _body: ExitBody = None, _: Principal = require("actions:write")
    ) -> Response:
        return ends(play, "open", "an open one can be ended", Interpreter.exit, PlayReason.BY_HAND, trail)

    return routes


class PlayEndings:
    """Ends plays by hand, each in a transaction of its own with its entry in the audit."""

    def __init__(
        self, db: Database, clock: Clock, times: Times, partitions: int, changed: Callable[[], None]
    ) -> None:
        self._db, self._clock, self._times = db, clock, times
        self._partitions, self._changed = partitions, changed

    def __call__(
        self,
        play: str,
        status: PlayStatus,
        only: str,
        end: Callable[[Interpreter, Play, PlayReason, int], None],
        reason: PlayReason,
        trail: AuditTrail,
    ) -> Response:
        """The answer for a play of this status that was ended. Raises `NotFound`, and `StateConflict` with `only`."""
        with self._db.write() as connection:
            store = PlayStore(0, self._partitions, lambda: connection)
            held = store.hold(play)
            if held is None:
                raise NotFound(f"there is no play {play!r}")
            if held.status != status:
                raise StateConflict(f"the play is {held.status}; only {only}")
            mine = select(plays).where(plays.c.id == play)
            before = play_said(connection.execute(mine).one())
            now = max(self._times.now(connection, held.partition), held.started_at)
            library = SqlLibrary(self._db, lambda: connection)
            end(Interpreter(store, library, held.partition), held, reason, now)
            store.flush(connection, self._clock.now())
            row = connection.execute(mine).one()
            trail.note(connection, "play", play, before=before, after=play_said(row))
        count_plays([held])
        self._changed()
        return json_response(play_view(row))


def play_said(row: Row[Any]) -> dict[str, Any]:
    """What the audit says of a play."""
    return {name: getattr(row, name) for name in ("account", "contact", "playbook", "status", "reason")}


def _plays(routes: APIRouter, db: Database) -> None:
    @routes.get("/v1/plays", summary="List plays, newest first", response_model=page_of(PlayOut))
    def listed(
        pages: Pages,
        narrow: Narrowed,
        id: Ids = None,
        status: PlayStatus | None = None,
        reason: PlayReason | None = None,
        step: Annotated[Text, Query(description="The step that the play has reached.")] = None,
        any_step: Annotated[
            bool | None, Query(description="Whether the play has reached a step at all.")
        ] = None,
        _: Principal = require("actions:read"),
    ) -> Response:
        """`after` and `before` are compared with `started_at`."""
        query = among(narrow.of(plays, plays.c.started_at, status=status, reason=reason, step=step), id)
        if any_step is not None:
            query = query.where(plays.c.step.is_not(None) if any_step else plays.c.step.is_(None))
        order = narrow.order(plays, plays.c.started_at)
        with db.read() as connection:
            return json_response(page(connection, query, order, pages, play_view))

    @routes.get(
        "/v1/plays/{play}",
        summary="Get a play with its trigger, actions and history",
        response_model=PlayDetail,
    )
    def one(play: str, _: Principal = require("actions:read")) -> Response:
        with db.read() as connection:
            row = connection.execute(select(plays).where(plays.c.id == play)).one_or_none()
            if row is None:
                raise NotFound(f"there is no play {play!r}")
            mine = select(actions).where(digests.serves(play)).order_by(actions.c.seq).limit(1_000)
            done = connection.execute(mine).all()
            went = history_of(connection, row, done)
        more = {"trigger_event": row.trigger.get("event"), "actions": [action_view(one) for one in done]}
        return json_response({**play_view(row), **more, "history": went})


def _actions(routes: APIRouter, db: Database, details: Details) -> None:
    @routes.get(
        "/v1/actions",
        summary="List actions, newest first",
        tags=["actions"],
        response_model=page_of(ActionOut),
    )
    def listed(
        pages: Pages,
        narrow: Narrowed,
        play: Text = None,
        channel: ChannelName | None = None,
        recipient: Recipient = None,
        status: ActionStatus | None = None,
        reason: ActionReason | None = None,
        _: Principal = require("actions:read"),
    ) -> Response:
        """`after` and `before` are compared with `due_at`."""
        query = narrow.of(actions, actions.c.due_at, channel=channel, status=status, reason=reason)
        if play is not None:
            query = query.where(digests.serves(play))
        if recipient is not None:
            query = query.where(search_columns.is_for(actions.c.addressee, recipient))
        order = narrow.order(actions, actions.c.due_at)
        with db.read() as connection:
            return json_response(page(connection, query, order, pages, action_view))

    @routes.get(
        "/v1/actions/{action}",
        summary="Get an action with its rendered content and every attempt",
        tags=["actions"],
        response_model=ActionDetail,
    )
    def one(action: str, _: Principal = require("actions:read")) -> Response:
        with db.read() as connection:
            return json_response(details.get(connection, action))
