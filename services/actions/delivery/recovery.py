"""Recovery: takes over what dead processes of this machine had leased.

The ends in their journals are committed. All their other actions are free at once, not only when the leases run out.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import Connection

from backbone import telemetry
from backbone.clock import Clock
from backbone.database import Database
from backbone.errors import DatabaseUnavailable
from services.actions.channels import CHANNELS
from services.actions.delivery import readable
from services.actions.delivery.attempt_writer import AttemptEnd, AttemptWriter, BatchResult
from services.actions.delivery.journal import SUFFIX, JournalRest, taken
from services.actions.plays.model import Leased
from services.actions.storage import attempts, leases

log_ = telemetry.get_logger("touchline.delivery")


def take_over(
    folder: Path, db: Database, clock: Clock, recorder: AttemptWriter, tell: Callable[[BatchResult], None]
) -> bool:
    """Apply the journals of all dead processes in `folder`; returns whether there were any. Blocking.

    `tell` is called after each commit. A journal that cannot be applied is dropped: its leases run out, and the
    attempts that had begun count as interrupted. Raises `DatabaseUnavailable`; the journal in hand is kept then.
    """
    found = False
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            with taken(path) as left:
                if left is not None:
                    found = True
                    tell(_apply(db, clock, recorder, tell, left))
        except FileNotFoundError:
            pass  # another process was faster
        except OSError as error:
            log_.warning("a journal cannot be read", path=str(path), error=error)
    return found


def _apply(
    db: Database,
    clock: Clock,
    recorder: AttemptWriter,
    tell: Callable[[BatchResult], None],
    left: JournalRest,
) -> BatchResult:
    try:
        return readable.written(
            db, clock, recorder, tell, lambda conn: apply(conn, recorder, left, clock.now())
        )
    except DatabaseUnavailable:
        raise
    except Exception:
        log_.exception("a journal cannot be applied; its leases run out", owner=left.owner)
        return BatchResult()


def apply(conn: Connection, recorder: AttemptWriter, left: JournalRest, now: int) -> BatchResult:
    """Apply one dead process's journal to the actions it had leased, except those taken over by others since."""
    written = BatchResult()
    held = leases.held_by(conn, left.owner, now)
    ends = list(_ends(left, held))
    recorder.finish(conn, ends, now, written, owner=left.owner)
    ended = {end.action.id for end in ends}
    rest = [one for one in held if one.id not in ended]
    if left.complete:
        silent = [
            one.id for one in rest if one.interrupted and (one.id, one.attempts) not in left.begun_effects
        ]
        attempts.never_sent(conn, silent, now)
    leases.release(conn, [one.id for one in rest])
    log_.info("took over from a dead process", owner=left.owner, leased=len(held), ended=len(written.tally))
    return written


def _ends(left: JournalRest, held: list[Leased]) -> Iterator[AttemptEnd]:
    for one in held:
        outcome = left.ends.get((one.id, one.attempts))
        if (
            # a channel that is not among ours belongs to a newer version
            outcome is not None and one.interrupted and one.channel in CHANNELS
        ):
            yield AttemptEnd(one, one.attempts, outcome)
