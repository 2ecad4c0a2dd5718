"""What people do in a scenario: playbooks are paused and resumed, plays released and discarded, as over the API."""

from typing import cast

from schemas.event import rfc3339
from schemas.play_reasons import PlayReason
from schemas.scenario import ByHand, PlayNamed
from services.actions.plays.interpreter import Interpreter
from services.actions.plays.model import Play
from services.cli.scenario_shown import fits
from services.cli.scenario_world import World

OF_PLAYBOOK = (PlayReason.PAUSED, PlayReason.BREAKER)  # the reasons that a resume of the playbook is about


def do(world: World, act: ByHand) -> str | None:
    """Do it once the clock is there; returns why that cannot be done, if it cannot."""
    world.reach(act.at)
    if act.approve is not None or act.reject is not None:
        return _decide(world, act)
    named = act.release or act.discard
    playbook = named.playbook if named else act.resume.playbook if act.resume else cast("str", act.pause)
    if world.library.playbook(playbook) is None:
        return f"there is no playbook {playbook!r} in the files"
    if act.pause is not None:
        why = _pause(world, playbook)
    elif act.resume is not None:
        why = _resume(world, playbook, release=act.resume.held == "release")
    else:
        why = _of_play(world, cast("PlayNamed", named), release=act.release is not None)
    world.go_on()
    return why


def _decide(world: World, act: ByHand) -> str | None:
    """Approve or reject the mails that fit."""
    wanted = act.reject if act.approve is None else act.approve
    found = [one for one in world.awaiting() if fits(wanted, world.shown(one))]
    for one in found:
        world.decide(one.id, approve=act.approve is not None)
    return None if found else f"no mail that awaits an approval at {_now(world)} is like that"


def _pause(world: World, playbook: str) -> str | None:
    if world.holds.of_playbook(playbook).paused is not None:
        return f"{playbook} is paused already at {_now(world)}"
    world.holds.pause(playbook)
    return None


def _resume(world: World, playbook: str, *, release: bool) -> str | None:
    if world.holds.of_playbook(playbook).paused is None:
        return f"{playbook} is not paused at {_now(world)}"
    held = [
        play
        for play in world.store.plays.values()
        if play.playbook == playbook and play.status == "held" and play.reason in OF_PLAYBOOK
    ]
    world.holds.resume(playbook)
    if release:
        world.holds.release(held)
    else:
        _discard(world, held)
    return None


def _of_play(world: World, named: PlayNamed, *, release: bool) -> str | None:
    found = [play for play in world.store.plays.values() if _fits(play, named)]
    ready = [
        play
        for play in found
        if (play.status == "held" and play.released is None) or (release and world.plays.stands_still(play))
    ]
    if len(ready) != 1:
        what = "several plays" if ready else "no play"
        state = "held, or stands still" if release else "held"
        return f"{what} of {named.playbook} for {named.account} is {state} at {_now(world)}"
    if release:
        world.holds.release(ready)
    else:
        _discard(world, ready)
    return None


def _fits(play: Play, named: PlayNamed) -> bool:
    return (
        (play.playbook, play.account) == (named.playbook, named.account)
        and named.contact in (None, play.contact)
        and named.key in (None, play.key)
    )


def _discard(world: World, plays: list[Play]) -> None:
    interpreter = Interpreter(world.store, world.library)
    for play in plays:
        interpreter.skip(play, PlayReason.DISCARDED, max(world.plays.clock, play.started_at))


def _now(world: World) -> str:
    return rfc3339(world.plays.clock)
