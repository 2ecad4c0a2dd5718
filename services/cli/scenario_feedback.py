"""What comes back of the mails in a scenario: bounces and complaints, as a provider reports them."""

from typing import cast

from schemas.event import rfc3339
from schemas.scenario import Reported
from services.actions.plays.mail_reports import ReportKind
from services.cli.scenario_shown import fits
from services.cli.scenario_world import World


def take_back(world: World, reported: Reported) -> str | None:
    """Report it of the mails that fit, once the clock is there; returns why that cannot be, if it cannot."""
    world.reach(reported.at)
    kind, wanted = _said(reported)
    found = [one for one in world.gone_out() if fits(wanted, world.shown(one))]
    for mail in found:
        world.report(mail, kind)
    world.go_on()
    return None if found else f"no mail that went out by {rfc3339(world.plays.clock)} is like that"


def _said(reported: Reported) -> tuple[ReportKind, object]:
    (name,) = reported.model_fields_set - {"at"}
    return ReportKind(name), cast("object", getattr(reported, name))
