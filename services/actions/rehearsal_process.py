"""The process of a rehearsal: `python -m services.actions.rehearsal_process` (see `backbone.jobs.child`)."""

from email.utils import parseaddr
from typing import TYPE_CHECKING, Any

import msgspec

from backbone.jobs.child import Report, run
from backbone.jobs.limits import JobFailed
from backbone.log import EVENTS
from backbone.log.reader import open_reader
from schemas.addresses import normal
from schemas.playbook import PlaybookIn
from schemas.policy import PolicyDoc
from schemas.template import TemplateIn
from services.actions.policy.rules import compile_policy
from services.actions.rehearsal.errors import TooManyActions
from services.actions.rehearsal.rehearse import Rehearsal
from services.actions.rehearsal.report import Tally
from services.actions.rehearsal.stage import Suppressed
from services.actions.rehearsal_body import DIGEST, RehearsalJob
from services.actions.rehearsal_log import LogOfAccounts
from services.actions.rendering.draft_renderer import DraftRenderer
from services.actions.rendering.renderer import RenderPool
from services.actions.unsubscribe_token import preview_link

if TYPE_CHECKING:
    from backbone.settings import Settings

_decode = msgspec.msgpack.Decoder(RehearsalJob).decode


def main(settings: "Settings", body: bytes, report: Report) -> dict[str, Any]:
    """Play the job; returns the fields of its answer."""
    job = _decode(body)
    log = open_reader(settings)
    pool = RenderPool()
    try:
        past = LogOfAccounts(log, wall=settings.clock == "wall", read=_Progress(report, log))
        name, address = parseaddr(settings.sender)
        link = preview_link(settings.base_url)
        renderer = DraftRenderer(pool, {"name": name or None, "email": address}, lambda _: link)
        rehearsal = Rehearsal(
            PlaybookIn.model_validate(job.playbook),
            [TemplateIn.model_validate(one) for one in job.templates],
            renderer,
            _suppressed(job.suppressed, settings),
            endpoints=job.endpoints,
            brand=job.brand,
            policy=None if job.policy is None else compile_policy(PolicyDoc.model_validate(job.policy)),
            until=job.until,
            accounts=job.accounts,
        )
        rehearsal.play(job.triggers, past)
        return rehearsal.report(Tally(normal))
    except TooManyActions as error:
        raise JobFailed(str(error)) from None
    finally:
        pool.close()
        log.close()


def _suppressed(digests: bytes, settings: "Settings") -> Suppressed:
    if not digests:
        return lambda _, __: False
    from backbone.data_folder import secret_key  # they take a while to import
    from services.actions.storage.suppressions import Hasher

    hasher = Hasher(secret_key(settings))
    known = {digests[at : at + DIGEST] for at in range(0, len(digests), DIGEST)}
    return lambda address, _: bytes.fromhex(hasher.digest(address)) in known


class _Progress:
    """Tells how far the log has been read."""

    def __init__(self, report: Report, log: Any) -> None:
        starts, ends = log.start_offsets(EVENTS), log.end_offsets(EVENTS)
        self._all = sum(end - starts[number] for number, end in ends.items())
        self._report, self._read = report, 0

    def __call__(self, read: int) -> None:
        self._read += read
        self._report.progress(min(1.0, self._read / max(1, self._all)))


if __name__ == "__main__":
    run(main)
