"""Python's garbage collector, set for processes that hold many small objects which live long."""

import gc

# Containers made but not freed before the young generation is collected, and such rounds before the older ones are.
# Python's own 700 (2,000 later on) walk every batch of events over and over, and find nothing: what a batch leaves
# goes by reference counts. Cycles (tracebacks, tasks) are still found, some thousands at a time.
YOUNG, MIDDLE, OLD = 50_000, 20, 10


def collect_less() -> None:
    """Set the thresholds for the whole process; idempotent."""
    gc.set_threshold(YOUNG, MIDDLE, OLD)
