"""A render process that does not start is no template's fault: nothing is answered, and what it said is told."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from services.actions.rendering import RenderPool, process_pool
from services.actions.rendering.jobs import Body, CheckJob, TextJob
from services.actions.rendering.process_pool import RendererUnavailable

JOB = TextJob(body="{{ tier }}", context={"tier": "low"})
Command = Callable[..., None]


@pytest.fixture
def pool() -> Iterator[RenderPool]:
    made = RenderPool()
    yield made
    made.close()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    """Sets the program that is started in place of a render process."""

    def put(source: str) -> None:
        monkeypatch.setattr(process_pool, "_COMMAND", (sys.executable, "-c", source))

    return put


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "import sys; print('starting'); sys.exit('no module named jinja2')",
            "no module named jinja2 .*ended with 1",
        ),
        ("import sys; sys.stdout.write('hello, world')", "it said nothing .*ended with 0"),
        ("import os; os.kill(os.getpid(), 9)", "it said nothing .*ended with -9"),
        ("import sys; sys.stderr.write('x' * 50_000); sys.exit(3)", "x{500} .*ended with 3"),
    ],
)
def test_what_it_said_is_told(pool: RenderPool, command: Command, source: str, said: str) -> None:
    command(source)
    with pytest.raises(RendererUnavailable, match=said):
        pool.render_many([JOB, JOB])
    with pytest.raises(RendererUnavailable):
        pool.check({"subject": "{{ tier }}"})


def test_one_that_never_gets_ready_is_ended(
    pool: RenderPool, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_pool, "START_SECONDS", 0.2)
    command("import sys, time; print('still reading', file=sys.stderr, flush=True); time.sleep(600)")
    with pytest.raises(RendererUnavailable, match=r"still reading .*not ready after"):
        pool.render_many([JOB])


def test_a_program_that_is_not_there(pool: RenderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_pool, "_COMMAND", ("/nowhere/python",))
    with pytest.raises(RendererUnavailable, match="nowhere"):
        pool.render_many([JOB])


def test_afterwards_everything_is_rendered(pool: RenderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a job nor its template is remembered for what it could not help."""
    with monkeypatch.context() as broken:
        broken.setattr(process_pool, "_COMMAND", (sys.executable, "-c", "raise SystemExit('full')"))
        for _ in range(4):
            with pytest.raises(RendererUnavailable, match="full"):
                pool.render_many([JOB])
    assert pool.render_many([JOB, JOB]) == [Body("low"), Body("low")]


def test_one_start_that_failed_is_not_told(pool: RenderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, tries = process_pool._COMMAND, iter([(sys.executable, "-c", "raise SystemExit('busy')")])
    spawned: list[Any] = []

    class Process(process_pool.RenderProcess):
        def __init__(self, niceness: int) -> None:
            monkeypatch.setattr(process_pool, "_COMMAND", next(tries, whole))
            spawned.append(self)
            super().__init__(niceness)

    pool._spawn = lambda: Process(0)  # type: ignore[assignment]
    assert pool.render_many([JOB]) == [Body("low")]
    assert len(spawned) == 2


def test_a_job_that_ends_the_process_is_blamed_as_ever(pool: RenderPool) -> None:
    pool.run([CheckJob(sources={})])
    greedy = TextJob(body="{{ 'a' * (10 ** 10) }}", context={})
    (answer,) = pool.render_many([greedy])
    assert getattr(answer, "reason", None) == "template_limits"
