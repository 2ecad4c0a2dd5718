"""The renderer as the rest of the service sees it: jobs in, mails and bodies out, and never an endless wait."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, LifoQueue
from threading import Lock

from services.actions.rendering.circuit_breaker import CircuitBreakers
from services.actions.rendering.jobs import (
    Answer,
    Body,
    Checked,
    CheckJob,
    Failure,
    Job,
    Mail,
    MailJob,
    RenderError,
)
from services.actions.rendering.process_pool import RenderProcess, run


class RenderPool:
    """A small pool of rendering processes. Thread-safe; processes start when they are first needed.

    Plays have a pool of their own, and so do people's requests, so that neither waits for the other.
    `niceness` (0 to 19) lets other processes go first where processors are scarce.
    """

    def __init__(self, workers: int = 1, *, niceness: int = 0) -> None:
        self._spawn = partial(RenderProcess, niceness)
        self._places: LifoQueue[RenderProcess | None] = LifoQueue()
        self._lock = Lock()
        self._fuses = CircuitBreakers()
        self._closed = False
        for _ in range(workers):
            self._places.put(None)

    def warm_up(self) -> None:
        """Starts one process, so that the first mail does not wait for it."""
        self.run([CheckJob(sources={})])

    def render_many(self, jobs: Sequence[Job]) -> list[Mail | Body | RenderError]:
        """What each job gives, in order; a failed one gives its `RenderError` and leaves the others alone."""
        return [_result(answer) for answer in self.run(jobs)]

    def mail(self, job: MailJob) -> Mail:
        """One mail; raises `RenderError`."""
        result = _result(self.run([job])[0])
        if isinstance(result, Mail):
            return result
        raise result if isinstance(result, RenderError) else TypeError("a mail was expected")

    def check(self, sources: Mapping[str, str]) -> Checked:
        """The flaws and the names of templates (field path to source); raises `RenderError` if checking ran away."""
        answer = self.run([CheckJob(sources=dict(sources))])[0]
        if isinstance(answer, Checked):
            return answer
        raise RenderError.of(answer) if isinstance(answer, Failure) else TypeError("a check was expected")

    def run(self, jobs: Sequence[Job]) -> list[Answer]:
        """The answers as the render process gave them."""
        if not jobs:
            return []
        worker = self._places.get()
        try:
            answers, worker = run(jobs, worker, self._spawn, self._fuses)
        except BaseException:
            if worker is not None:
                worker.close()  # halfway through a batch: nobody will read its next answer
            worker = None
            raise
        finally:
            self._give_back(worker)
        return answers

    def _give_back(self, worker: RenderProcess | None) -> None:
        with self._lock:
            if self._closed and worker is not None:
                worker.close()
                worker = None
            self._places.put(worker)

    def close(self) -> None:
        """Ends the processes; those at work end with the job they are at."""
        with self._lock, suppress(Empty):
            self._closed = True
            while True:
                worker = self._places.get_nowait()
                if worker is not None:
                    worker.close()


def _result(answer: Answer) -> Mail | Body | RenderError:
    if isinstance(answer, Checked):
        raise TypeError("a check is not rendered")
    return RenderError.of(answer) if isinstance(answer, Failure) else answer
