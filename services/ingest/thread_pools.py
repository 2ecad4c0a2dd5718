"""Where the door's blocking work runs: see `backbone.thread_pool`."""

from backbone.thread_pool import Lane

at_the_door = Lane("door", 32)
