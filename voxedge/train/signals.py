"""SIGINT and SIGTERM as a flag that the training loop reads where it can stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from voxedge.errors import Interrupted
from voxedge.train.process_group import FirstProcessEnded

_ONE_STOP = 1.0  # seconds in which signals count as one: timeout(1) sends two


@dataclass
class Stop:
    """The signal that asks for a stop, or 0."""

    signum: int = 0
    since: float = 0.0  # seconds of the monotonic clock


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Record SIGINT and SIGTERM instead of being interrupted; a second one interrupts.

    One that came after the last chance to stop goes to the handler that was there before.

    Raises:
        Interrupted: a second signal came.
    """
    stop = Stop()

    def record(signum: int, _frame: FrameType | None) -> None:
        if not stop.signum:
            stop.signum, stop.since = signum, time.monotonic()
        elif time.monotonic() - stop.since > _ONE_STOP:
            raise Interrupted(signum, "stopped at once")

    try:
        previous = {s: signal.signal(s, record) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # only the main thread may handle signals
        yield stop
        return
    obeyed = False
    try:
        yield stop
    except (Interrupted, FirstProcessEnded):
        obeyed = True
        raise
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
        if stop.signum and not obeyed:
            signal.raise_signal(stop.signum)
