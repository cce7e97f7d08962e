"""SIGINT and SIGTERM as a flag that the training loop reads where it can stop."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from voxedge.errors import Interrupted


@dataclass
class Stop:
    """The signal that asks for a stop, or 0."""

    signum: int = 0


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Record SIGINT and SIGTERM instead of being interrupted; a second one interrupts.

    Raises:
        Interrupted: a second signal came.
    """
    stop = Stop()

    def record(signum: int, _frame: FrameType | None) -> None:
        if stop.signum:
            raise Interrupted(signum, "stopped at once")
        stop.signum = signum

    try:
        previous = {s: signal.signal(s, record) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # only the main thread may handle signals
        yield stop
        return
    try:
        yield stop
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
