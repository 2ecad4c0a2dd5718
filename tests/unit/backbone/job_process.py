"""A long job for tests: its body says what it does."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from backbone.jobs.child import Report, run
from backbone.jobs.limits import LEFT, JobFailed
from backbone.jobs.scratch import Scratch
from backbone.settings import Settings


def main(settings: Settings, body: bytes, report: Report) -> dict[str, Any]:
    match body.decode():
        case "count":
            print("a stray line")  # must not be taken for a message
            for number in range(3):
                report.part("numbers", 2, bytes([2 * number, 2 * number + 1]))
                report.progress(number / 3)
            return {"pid": os.getpid(), "nice": os.nice(0), "partitions": settings.partitions}
        case "wait":
            report.progress(0.5)
            time.sleep(600)
        case "memory":
            kept = [bytearray(256 << 20) for _ in range(5)]
            return {"kept": len(kept)}
        case "disk":
            db = Scratch(settings.job_disk << 20).database()
            db.execute("CREATE TABLE much (body BLOB)")
            for _ in range(40):
                db.execute("INSERT INTO much VALUES (randomblob(1000000))")
        case "refuse":
            raise JobFailed("the log is empty")
        case "left":
            os._exit(LEFT)
        case "left once":
            if not (mark := settings.data_dir / "left").exists():
                mark.touch()
                os._exit(LEFT)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
    return {}


if __name__ == "__main__":
    run(main)
