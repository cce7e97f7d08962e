"""Signals that wait for a good moment."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from voxedge.errors import Interrupted


@dataclass
class Stop:
    """The signal that came, or 0."""

    signum: int = 0


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Note SIGINT and SIGTERM for the loop; a second one acts at once.

    Raises:
        Interrupted: at the second signal.
    """
    stop = Stop()

    def note(signum: int, _frame: FrameType | None) -> None:
        if stop.signum:
            raise Interrupted(signum, "stopped at once")
        stop.signum = signum

    try:
        before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: the caller's signals stay
        yield stop
        return
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
