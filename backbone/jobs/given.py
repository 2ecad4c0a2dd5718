"""The settings as a job's process is given them.

Its start is a good part of a short job. To read the settings as they are takes pydantic-settings, which takes a third
of a second to import; a backtest of the embedded log needs five of them. So these are at hand, and the whole is
unpacked where somebody asks for another one.
"""

import pickle
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from backbone.settings import Settings

AT_HAND = ("data_dir", "kafka_bootstrap_servers", "job_disk", "log_level", "log_format", "clock")


class GivenSettings:
    """Stands for the worker's settings."""

    def __init__(self, settings: "Settings") -> None:
        self.__dict__.update({name: getattr(settings, name) for name in AT_HAND})
        self._packed = pickle.dumps(settings)

    @cached_property
    def _whole(self) -> "Settings":
        whole: Settings = pickle.loads(self._packed)  # noqa: S301 - from the process that started this one
        return whole

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what `pickle` asks for, while there is nothing yet
            raise AttributeError(name)
        return getattr(self._whole, name)


def packed(settings: "Settings", body: bytes) -> bytes:
    """The settings and the body of a job, for its process."""
    return pickle.dumps((GivenSettings(settings), body))


def unpacked(given: bytes) -> "tuple[Settings, bytes]":
    """What `packed` made."""
    settings, body = pickle.loads(given)  # noqa: S301 - from the process that started this one
    return cast("Settings", settings), body
