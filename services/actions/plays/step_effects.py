"""What a step leaves that is no wait and no branch: actions of its channel, or items of a digest. Pure."""

from collections.abc import Iterator

from schemas.playbook import Step
from services.actions.channels import CHANNELS
from services.actions.plays import digests
from services.actions.plays.action_drafts import StepRun
from services.actions.plays.model import Op


def effects_of(run: StepRun, step: Step) -> Iterator[Op]:
    """The ops of a step, in order."""
    if step.channel is not None:
        name, words = step.channel
        yield from CHANNELS[name].drafts(run, words)
    elif step.digest is not None:
        yield from digests.collect(run, step.digest)
