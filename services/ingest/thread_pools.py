"""Where the door's blocking work runs: see `backbone.thread_pool`."""

from backbone.thread_pool import ThreadPool

at_the_door = ThreadPool("door", 32)
