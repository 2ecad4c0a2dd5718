"""Appends that fail together: each is told by an error of its own."""

import pytest

from backbone.log import LogUnavailable
from backbone.log.kafka.producer import _answer
from backbone.log.records import PartitionsChanged, RecordTooLarge


@pytest.mark.parametrize("kind", [LogUnavailable, RecordTooLarge, PartitionsChanged])
def test_nobody_raises_the_error_of_another(kind: type[Exception]) -> None:
    """It would collect the frames of all who raise it, and keep what they had appended."""
    error = kind("no Kafka server can be reached")
    answers = [_answer(error), _answer(error)]
    assert [(type(one), str(one)) for one in answers] == [(kind, str(error))] * 2
    assert len({id(one) for one in (error, *answers)}) == 3
    assert all(one.__traceback__ is None for one in answers)
