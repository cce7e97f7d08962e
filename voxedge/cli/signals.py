"""SIGINT and SIGTERM end the program in order, at whatever moment they come.

While a command runs, a signal raises ``Interrupted`` in the main thread, so that temporary files
are deleted and the terminal gets its cursor back. That exception may get lost: C libraries drop it
in their callbacks, and the import of an extension module makes another error of it. So the signal
is also remembered: no line is begun after it, and it decides the exit code. What still waits, for
a reader that does not read, say, ends after ``GRACE`` seconds. Before and after a command there is
nothing to put in order, and the process ends at once.

While a network is trained, ``voxedge.train.signals`` handles the signals.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from voxedge.errors import Interrupted

GRACE = 5.0  # seconds

_WORDS = {signal.SIGINT: "stopped", signal.SIGTERM: "terminated"}


class _State:
    """What a signal has to know of this process."""

    signum = 0  # of the first signal that came
    running = False  # a command
    writing = False  # a line
    main = 0  # the thread that handles signals


def heed_signals() -> None:
    """Handle SIGINT and SIGTERM from now on, except where the parent has them ignored (nohup)."""
    _State.main = _thread.get_ident()
    for signum in _WORDS:
        if signal.getsignal(signum) != signal.SIG_IGN:
            signal.signal(signum, _handle)
    show = sys.unraisablehook
    sys.unraisablehook = lambda lost: (
        None if isinstance(lost.exc_value, Interrupted) else show(lost)
    )


@contextmanager
def interruptible() -> Iterator[None]:
    """Surround a command, which a signal interrupts.

    Raises:
        Interrupted: a signal came, whatever became of its first exception.
    """
    _State.running = True
    try:
        yield
    except Interrupted:
        raise
    except BaseException:
        _stop_if_signalled()
        raise
    else:
        _stop_if_signalled()
    finally:
        _State.running = False


@contextmanager
def whole_line() -> Iterator[None]:
    """Surround the writing of a line: a signal waits until it is written, or prevents it.

    Raises:
        Interrupted: a signal came.
    """
    if _thread.get_ident() != _State.main:
        yield
        return
    if _State.running:
        _stop_if_signalled()
    _State.writing = True
    try:
        yield
    finally:
        _State.writing = False
    _stop_if_signalled()


def _handle(signum: int, _frame: object) -> None:
    if _State.signum:  # it is being obeyed
        return
    _State.signum = signum
    if not _State.writing and not _State.running:
        _stop()
    with suppress(RuntimeError):  # no more threads
        # One of the module threading would wait for locks that the main thread may hold.
        _thread.start_new_thread(_end_later, (128 + signum,))
    if not _State.writing:
        _stop()


def _stop_if_signalled() -> None:
    if _State.signum:
        _stop()


def _stop() -> NoReturn:
    if not _State.running:
        os._exit(128 + _State.signum)
    raise Interrupted(_State.signum, _WORDS[signal.Signals(_State.signum)])


def _end_later(status: int) -> None:
    time.sleep(GRACE)
    os._exit(status)
