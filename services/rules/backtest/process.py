"""The process of a backtest: `python -m services.rules.backtest.process NICENESS`, see `backbone.jobs.child`."""

from typing import TYPE_CHECKING, Any

from backbone.gc_tuning import collect_less
from backbone.jobs.child import Report, run
from backbone.jobs.scratch import Scratch
from backbone.log.reader import open_reader
from services.rules.backtest import standing
from services.rules.backtest.plan import Plan
from services.rules.backtest.replay import Replay

if TYPE_CHECKING:
    from backbone.settings import Settings


def main(settings: "Settings", body: bytes, report: Report) -> dict[str, Any]:
    """Carry out the plan in `body`."""
    collect_less()
    log = open_reader(settings)
    try:
        scratch = Scratch(settings.job_disk << 20)
        replay = Replay(Plan.decode(body), log, scratch, report)
        result = replay.run()
        replay.ledger.tell(report.part)
        standing.tell(replay.matches(), report.part)
    finally:
        log.close()
    return result


if __name__ == "__main__":
    run(main)
