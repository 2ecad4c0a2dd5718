"""The limits of long jobs, and how a job says that it cannot go on."""

WAITING = 20  # jobs of a kind that wait; more get 429
PER_KEY = 2  # jobs of one API key that wait or run; more get 429
RETRY_AFTER_S = 5.0
KEPT_US = 7 * 86_400 * 1_000_000  # how long an ended job is kept
TRIES = 5  # after so many workers died over it, a job is not tried again
MEMORY_BYTES = 1 << 30  # address space of the process
BEAT_S = 2.0
LEASE_S = 10.0
LEFT = 75  # the status of a process that heard nothing of its worker for that long
LOOK_S = 0.25  # how often a worker looks whether its job was cancelled
IDLE_S = 1.0  # how often a worker looks for a job
NICENESS = 15


class JobFailed(Exception):
    """The job cannot be done; the message is the sentence that people read."""
