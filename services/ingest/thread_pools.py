"""The threads that do ingest's blocking work: see `backbone.thread_pool`."""

from backbone.thread_pool import ThreadPool

at_the_door = ThreadPool("door", 32)
