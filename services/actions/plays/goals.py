"""The goal of a play: until when it is watched, and when it was reached. Pure.

Plays that run and plays that are held out are watched alike, also after they have ended. An event counts that came
after the trigger in the log, and whose own time is at most `within` after the trigger's. One that arrives late counts
as long as rules would count it.
"""

from schemas.event import DAY_US, Event, instant
from schemas.profile import Profile
from services.actions.plays.dedup import time_of
from services.actions.plays.model import Play
from services.actions.plays.play_values import concerns, scope_of
from services.actions.plays.program import Playbook

LATE_US = 7 * DAY_US  # how long after the goal's time an event from within it may arrive


def begin(play: Play, playbook: Playbook, now: int) -> None:
    """Note that the play begins, or would begin were it not held out, and until when its goal is watched.

    A goal that was reached while it was held counts, if it is in time by the version of now too.
    """
    play.began_at = now
    await_(play, playbook)
    reached, until = play.goal_reached_at, play.goal_until
    if reached is not None and (until is None or reached > until):
        play.goal_reached_at = None


def await_(play: Play, playbook: Playbook) -> None:
    """Watch for the goal from now on, whether or not the play has begun."""
    goal = playbook.goal
    play.goal_until = None if goal is None else instant(play.trigger["at"]) + goal.within


def forget(play: Play) -> None:
    """Watch no more, for the play will never begin."""
    play.goal_until = play.goal_reached_at = None


def is_watched(play: Play, clock: int) -> bool:
    """Whether an event may still reach the play's goal."""
    return play.goal_until is not None and play.goal_reached_at is None and clock <= play.goal_until + LATE_US


def is_reached(play: Play, playbook: Playbook, event: Event, profile: Profile) -> bool:
    """Whether this event reaches the play's goal in time; `profile` already includes it."""
    if playbook.goal is None or play.goal_until is None or not concerns(play, event):
        return False
    if not instant(play.trigger["at"]) <= time_of(event) <= play.goal_until:
        return False
    return playbook.goal.matcher.matches(scope_of(play, event, profile), event, play.key)


def stop(play: Play, clock: int) -> bool:
    """Watch no more, for the account was merged: its events count elsewhere now, so nobody can tell whether the goal
    would have been reached. The play is not complete then. Returns whether this changes anything."""
    if play.goal_until is None or play.goal_reached_at is not None or play.goal_until <= clock:
        return False
    play.goal_until = None
    return True
