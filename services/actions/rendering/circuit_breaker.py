"""Gives templates that ran into their limit less time, so that one of them does not use up everybody's.

The first time costs `CPU_SECONDS`. For a minute from then on the template gets less, which is still many
times what an ordinary one takes. After three times in a row, with no success in between, it rests: its jobs
fail at once, and it is tried again half a minute later. A template is identified by its source, so a version
saved anew is another template.

The service keeps this and sends it along with each frame of jobs, since the process that runs into a limit
may die of it.
"""

import hashlib
from collections.abc import Mapping

import msgspec

from services.actions.rendering.jobs import CPU_SECONDS, CheckJob, Job, MailJob

REDUCED_SECONDS = 0.1
ROW = 3
REST_S, FORGET_S = 30.0, 60.0
MOST = 1_000  # templates remembered; the one that ran into its limit longest ago is forgotten first

_encode = msgspec.json.Encoder(order="sorted").encode


class CircuitBreaker(msgspec.Struct, array_like=True):
    """The state of one template: when it last ran into its limit (monotonic seconds), and how often in a row."""

    last: float
    row: int


class CircuitBreakers:
    """The breakers of all templates, by source. `known` is what another process remembers."""

    def __init__(self, known: Mapping[str, CircuitBreaker] | None = None) -> None:
        self._fuses: dict[str, CircuitBreaker] = dict(known or {})

    def known(self, now: float) -> dict[str, CircuitBreaker]:
        """The breakers that have not been forgotten yet."""
        for key, fuse in list(self._fuses.items()):
            if now - fuse.last >= FORGET_S:
                self._fuses.pop(key, None)
        return dict(self._fuses)

    def allowance(self, job: Job, now: float) -> float:
        """Seconds of processor time for this job; 0: do not try it."""
        fuse = self._fuses.get(_source(job)) if self._fuses else None
        if fuse is None or now - fuse.last >= FORGET_S:
            return CPU_SECONDS
        return 0.0 if fuse.row >= ROW and now - fuse.last < REST_S else REDUCED_SECONDS

    def ended(self, job: Job, now: float, *, within_limits: bool) -> None:
        """Note how a job that was tried ended."""
        if within_limits:
            fuse = self._fuses.get(_source(job)) if self._fuses else None
            if fuse is not None:
                fuse.row = 0
        elif not isinstance(job, CheckJob):
            key = _source(job)
            fuse = self._fuses.pop(key, None) or CircuitBreaker(now, 0)
            self._fuses[key] = CircuitBreaker(now, fuse.row + 1)  # at the end: the newest
            if len(self._fuses) > MOST:
                del self._fuses[next(iter(self._fuses))]


def _source(job: Job) -> str:
    if isinstance(job, CheckJob):
        return ""
    source = (job.subject, job.markdown, job.html, job.text) if isinstance(job, MailJob) else job.body
    return hashlib.blake2b(_encode(source), digest_size=16).hexdigest()
