"""What a play knows: its subject, the scope of its conditions, the values it watches, the dates it waits for. Pure."""

from collections.abc import Iterable
from typing import Any

from schemas.conditions.model import Scope
from schemas.dates import moment_of, unchanged
from schemas.duration import parse_duration
from schemas.event import DAY_US, OWN_PREFIX, Event, instant, is_reserved
from schemas.playbook import WaitDate, WaitEvent
from schemas.profile import Profile, contact_of
from services.actions.plays.model import Play, Wait
from services.actions.plays.program import Instruction
from services.actions.plays.value_paths import getter

# How long after its trigger a play may begin and still be in time (like `late` of date rules).
LATE_US = DAY_US


def wait_length(one: Instruction, stood: Wait | None, now: int, *, came: bool) -> int:
    """How long the wait of a step was, once it is over: as long as it says, or until its event came. Where it waits for
    a date, that date stays what it is whatever came before, so it counts as none."""
    wait = one.step.wait
    if wait is None or isinstance(wait, WaitDate):
        return 0
    full = parse_duration(wait.for_ if isinstance(wait, WaitEvent) else wait)
    if not came:
        return full
    if stood is None or stood.came:
        return 0  # it was counted when the event came
    return min(full, max(0, now - (stood.due - full)))


def subject_of(play: Play) -> tuple[str | None, str | None]:
    """What the subject of the play has beside the account: (contact, key)."""
    return (play.contact if play.scope == "contact" else None, play.key)


def concerns(play: Play, event: Event) -> bool:
    """Whether an event can concern a play: Touchline's own events concern only their play, and a contact's play
    is not concerned by events of another contact."""
    if event.type.startswith(OWN_PREFIX):
        return isinstance(event.data, dict) and event.data.get("play") == play.id
    if play.scope != "contact" or is_reserved(event.type):
        return True
    return event.contact is None or event.contact == play.contact


def scope_of(play: Play, event: Event | None, profile: Profile) -> Scope:
    """The scope of a condition. On an event it has the event's contact, in a branch the trigger's."""
    contact = play.contact if event is None else contact_of(event)
    return Scope(
        event=event,
        profile=profile,
        contact=None if contact is None else profile.contacts.get(contact),
        tier=play.tier,
        trigger=play.trigger,
    )


def values_at(paths: Iterable[str], play: Play, profile: Profile) -> dict[str, Any]:
    """The values at these paths."""
    scope = scope_of(play, None, profile)
    return {path: getter(path)(scope) for path in paths}


def has_changed(play: Play, profile: Profile) -> bool:
    """Whether one of the values that the play watches has changed."""
    now = values_at(play.watched, play, profile) if play.watched else {}
    return not all(unchanged(was, now[path], profile.timezone) for path, was in play.watched.items())


def beginning_of(trigger_at: str, now: int) -> int:
    """The moment before which dates count as past for a play that begins.

    It is the trigger's, so that the time it took to get here does not matter; if that is long ago, it is `now`.
    """
    at = instant(trigger_at)
    return at if now - LATE_US <= at else now


def date_awaited(play: Play, one: Instruction, profile: Profile) -> int | None:
    """The moment that a wait for a date is for; None if there is no such date."""
    wait = one.step.wait
    if one.date is None or not isinstance(wait, WaitDate):
        return None
    moment = moment_of(one.date(scope_of(play, None, profile)), profile.timezone)
    if moment is None:
        return None
    return moment - (0 if wait.before is None else parse_duration(wait.before))
