"""Long jobs: work of minutes that somebody asked for over HTTP, in a process of its own.

A service that offers such a job has (`backbone.jobs.queue`, `.runner`, `.api`)

    queue = JobQueue(db, clock, "backtest")            # over all workers one runs and 20 wait
    runner = JobRunner(queue, settings, "services.rules.backtest.process")   # start(), stop(), wake()
    queue.submit(conn, key_id, body, shown)            # in the POST: raises `RateLimited` where too many wait
    jobs_router("/v1/backtests", …, queue)             # GET of all and of one, DELETE
    HousekeepingJob("old backtests", 600.0, queue.prune)

and a module that runs as that process:

    if __name__ == "__main__":
        run(main)                                      # see `backbone.jobs.child`; main(settings, body, report)

The process has no database: it is given the settings and the body, reads the log (`backbone.log.reader`), and hands
progress, parts of its result and the result to the worker that started it, which stores them. So it can change
nothing but its own rows. It runs at low priority, within `MEMORY_BYTES`, and on temporary disk within a limit
(`backbone.jobs.scratch`).

A running job's row has an epoch and a beat. Its worker raises the beat every `BEAT_S`; another worker that sees the
same beat for `LEASE_S` of its own time takes the job over under the next epoch, and starts it again from the start.
Everything that a worker writes it writes under its epoch, so the old one can write nothing more. The process itself
ends where it hears nothing of its worker for `LEASE_S`, or where the worker is gone.
"""
