"""Verbs that hold plays and let them go: pause and resume of a playbook, release and discard of a play."""

import time
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Path, Response
from sqlalchemy import Connection, select

from backbone import notices
from backbone.clock import Clock
from backbone.database import Database
from backbone.documents.store import StoredDocument
from backbone.errors import NotFound, StateConflict
from backbone.web.api_keys import Principal, require
from backbone.web.app import json_response
from backbone.web.audit import Trail
from backbone.web.json_route import JsonRoute, example
from schemas.answers import PlaybookOut
from schemas.fields import EmptyBody
from schemas.notices import NoticeKind
from schemas.play import PausePlaybookIn, PlayOut, ResumeIn
from schemas.play_reasons import PlayReason
from services.actions.api.plays import PlayEndings, Times, play_said
from services.actions.api.views import play_view
from services.actions.delivery import begun_ahead
from services.actions.plays.interpreter import Interpreter
from services.actions.storage import holds
from services.actions.storage.holds import OF_PLAYBOOK, Key
from services.actions.storage.library import PLAYBOOKS
from services.actions.tables import plays

BEGINS_S = 3.0  # how long a release waits for the play to begin, so that the answer shows it
LOOK_S = 0.02

Name = Annotated[str, Path(min_length=1, max_length=256)]
PauseBody = Annotated[PausePlaybookIn | None, example({"reason": "the template is wrong"})]
ResumeBody = Annotated[ResumeIn, example({"held": "release"})]
HoldBody = Annotated[EmptyBody | None, example({})]


def router(
    db: Database,
    clock: Clock,
    times: Times,
    partitions: int,
    render: Callable[[StoredDocument], dict[str, object]],
    changed: Callable[[], None],
) -> APIRouter:
    """The routes. `render` shows a playbook; `changed` is called when plays or actions may go on."""
    routes = APIRouter(tags=["playbooks"], route_class=JsonRoute)
    _playbooks(routes, db, clock, times, render, changed)
    _release(routes, db, clock, changed)
    _discard(routes, PlayEndings(db, clock, times, partitions, changed))
    return routes


def _playbooks(
    routes: APIRouter,
    db: Database,
    clock: Clock,
    times: Times,
    render: Callable[[StoredDocument], dict[str, object]],
    changed: Callable[[], None],
) -> None:
    @routes.post(
        "/v1/playbooks/{name}/pause",
        response_model=PlaybookOut,
        summary="Pause the playbook: hold new plays, stop open ones and send nothing",
    )
    def pause(
        name: Name,
        trail: Trail,
        body: PauseBody = None,
        principal: Principal = require("actions:write"),
    ) -> Response:
        key = Key("playbook", name)
        with db.write() as connection:
            stored = PLAYBOOKS.fetch(connection, name)
            holds.lock(connection, (), [holds.ALL, key])
            if holds.row_of(connection, key).hold.paused is not None:
                raise StateConflict("the playbook is paused already")
            reason = None if body is None else body.reason
            now = times.now(connection, None)
            holds.pause(connection, key, PlayReason.PAUSED, reason or "by_hand", principal.name, now)
            trail.note(
                connection,
                "playbook",
                name,
                before={"status": "active"},
                after={"status": "paused", "reason": reason or "by_hand"},
            )
        begun_ahead.settle(db, clock, name)
        changed()
        return json_response(render(stored))

    @routes.post(
        "/v1/playbooks/{name}/resume",
        response_model=PlaybookOut,
        summary="Resume a paused playbook and begin or skip its held plays",
    )
    def resume(
        name: Name, body: ResumeBody, trail: Trail, _: Principal = require("actions:write")
    ) -> Response:
        key = Key("playbook", name)
        with db.write() as connection:
            stored = PLAYBOOKS.fetch(connection, name)
            holds.lock(connection, (), [holds.ALL, key])
            if holds.row_of(connection, key).hold.paused is None:
                raise StateConflict("the playbook is not paused")
            holds.resume(connection, key, clock.now())
            if body.held == "release":
                holds.release_plays(connection, key, OF_PLAYBOOK)
            else:
                holds.discard_held(connection, key, OF_PLAYBOOK, times.now(connection, None))
            after = {"status": "active", "held": body.held}
            trail.note(connection, "playbook", name, before={"status": "paused"}, after=after)
            notices.clear(connection, NoticeKind.BREAKER, name, clock.now())
        changed()
        return json_response(render(stored))


def _release(routes: APIRouter, db: Database, clock: Clock, changed: Callable[[], None]) -> None:
    @routes.post(
        "/v1/plays/{play}/release",
        tags=["plays"],
        response_model=PlayOut,
        summary="Let a play begin or go on although its playbook or its rule is paused",
    )
    def release(
        play: str, trail: Trail, _body: HoldBody = None, _: Principal = require("actions:write")
    ) -> Response:
        with db.write() as connection:
            keys = _locked(connection, play)
            row = connection.execute(select(plays).where(plays.c.id == play).with_for_update()).one()
            states = {key: holds.row_of(connection, key).hold for key in keys}
            covered = any(
                hold.paused is not None and (row.released is None or row.released < hold.generation)
                for hold in states.values()
            )
            if not (row.status == "held" and row.released is None) and not (row.status == "open" and covered):
                raise StateConflict(
                    f"the play is {row.status} and held by nothing; there is nothing to release"
                )
            holds.release_play(connection, play, row.status, keys, clock.now())
            before = play_said(row)
            trail.note(connection, "play", play, before=before, after={**before, "released": True})
        changed()
        return json_response(_begun(db, play))


def _locked(connection: Connection, play: str) -> list[Key]:
    """Lock what may hold a play; returns that. Raises `NotFound`."""
    columns = select(plays.c.playbook, plays.c.rule, plays.c.partition)
    row = connection.execute(columns.where(plays.c.id == play)).one_or_none()
    if row is None:
        raise NotFound(f"there is no play {play!r}")
    keys = [Key("playbook", row.playbook), Key("rule", row.rule, row.partition)]
    holds.lock(connection, (), [holds.ALL, *keys])
    return keys


def _begun(db: Database, play: str) -> dict[str, object]:
    """The play once it has begun, or as it is after a while: its partition may be busy."""
    until = time.monotonic() + BEGINS_S
    while True:
        with db.read() as connection:
            row = connection.execute(select(plays).where(plays.c.id == play)).one_or_none()
        if row is None:
            raise NotFound(f"there is no play {play!r}")
        if row.status != "held" or time.monotonic() > until:
            return play_view(row)
        time.sleep(LOOK_S)


def _discard(routes: APIRouter, ends: PlayEndings) -> None:
    @routes.post(
        "/v1/plays/{play}/discard",
        tags=["plays"],
        response_model=PlayOut,
        summary="Skip a held play, so that it never begins",
    )
    def discard(
        play: str, trail: Trail, _body: HoldBody = None, _: Principal = require("actions:write")
    ) -> Response:
        return ends(
            play, "held", "a held one can be discarded", Interpreter.skip, PlayReason.DISCARDED, trail
        )
