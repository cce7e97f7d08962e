"""What people see: bars, tables and progress on a terminal; plain lines in a pipe.

Answers go to stdout, everything said about them to stderr. Names come from folders and model
files, so nothing is printed that could steer a terminal.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TextIO

from voxedge.cli.signals import whole_line
from voxedge.errors import VoxedgeError
from voxedge.text import printable

if TYPE_CHECKING:
    from voxedge.train.progress import StepProgress

_BAR = 24
_WIDEST = 400  # columns of a table
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_EVERY = 15.0  # seconds between two lines of progress where there is no terminal


class _State:
    """What this process prints."""

    only_errors = False


def tell_only_errors() -> None:
    """Print nothing but errors from now on: the first process prints the rest."""
    _State.only_errors = True


def say(message: str = "", end: str = "\n") -> None:
    """A line for people, on stderr."""
    if not _State.only_errors:
        _write(sys.stderr, message + end)


def answer(line: str) -> None:
    """A line of the answer, on stdout, at once.

    Raises:
        SystemExit: with 141 where nobody reads on (``| head``), as if SIGPIPE had ended us.
    """
    if not _State.only_errors:
        _write(sys.stdout, line + "\n")


def replace_line(line: str) -> None:
    """A line of the answer in place of the last one; where there is no terminal, after it."""
    if _is_terminal(sys.stdout):
        _write(sys.stdout, f"\r{line}\033[K")
    else:
        answer(line)


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:  # closed before we began
        return
    data = text.encode(stream.encoding or "utf-8", "backslashreplace")
    try:
        with whole_line():
            _write_all(stream, data)
            stream.flush()
    except BrokenPipeError:  # nothing more is to be flushed when the interpreter ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise SystemExit(128 + signal.SIGPIPE) from None


def _write_all(stream: TextIO, data: bytes) -> None:
    """Write encoded text; all of it even where a signal cuts a write short.

    With PYTHONUNBUFFERED there is no buffer to keep the rest, and the text stream forgets it.
    """
    binary = getattr(stream, "buffer", None)
    if not isinstance(binary, io.RawIOBase):
        stream.write(data.decode(stream.encoding or "utf-8"))
        return
    while data:
        data = data[binary.write(data) or 0 :]


def complain(error: VoxedgeError, subject: str = "") -> None:
    """One error: what happened, and what to do."""
    where = f"{printable(subject)}: " if subject else ""
    text = f"{colour('31', 'error', sys.stderr)}: {where}{printable(error.message, 2000)}\n"
    if error.hint:
        text += f"  {printable(error.hint, 2000)}\n"
    _write(sys.stderr, text)


def warn(message: str) -> None:
    """Something that is worth knowing and stops nothing."""
    say(f"{colour('33', 'warning', sys.stderr)}: {printable(message, 2000)}")


def show_library_warnings() -> None:
    """Show what the library warns of (``warnings.warn``) as ``warn`` does."""

    def show(message: Warning | str, *_place: object, **_more: object) -> None:
        warn(str(message))

    warnings.showwarning = show


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A small table on stdout: first column to the left, the others to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if title:  # not the table's own, which would be wrapped to the width of the columns
        answer(colour("1", printable(title), sys.stdout))
    table = Table(box=None)
    for index, name in enumerate(columns):
        side: Literal["left", "right"] = "right" if index else "left"
        table.add_column(Text(name), justify=side, header_style="", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(printable(str(value), 80)) for value in row))
    text = io.StringIO()
    console = Console(
        file=text,
        force_terminal=_is_terminal(sys.stdout),
        no_color=_wants_no_colour() or None,
        width=_WIDEST,  # a table keeps its lines whole: a terminal wraps them, a file holds them
    )
    console.print(table)
    for line in text.getvalue().splitlines():
        answer(line.rstrip())


class Progress(AbstractContextManager["Progress"]):
    """A bar on a terminal; elsewhere a line every 15 seconds. On stderr."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._bar: Any = None
        self._task: Any = None
        self._spoken = time.monotonic()

    def __enter__(self) -> Progress:
        if _is_terminal(sys.stderr) and not _State.only_errors:
            from rich.console import Console
            from rich.progress import Progress as Bar
            from rich.progress import TimeRemainingColumn

            self._bar = Bar(
                *Bar.get_default_columns()[:-1],
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=None)
        return self

    def update(self, done: int, total: int, text: str = "") -> None:
        """So many of so many are done."""
        if self._bar is not None:
            what = f"{self._what}  {text}" if text else self._what
            self._bar.update(self._task, completed=done, total=total, description=what)
        elif time.monotonic() - self._spoken > _EVERY:
            self._spoken = time.monotonic()
            say(f"  {self._what}: {done} of {total}  {text}".rstrip())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


class TrainingProgress(AbstractContextManager["TrainingProgress"]):
    """Tells how training goes: a bar within the epoch, a line for each."""

    def __init__(self) -> None:
        self._progress = Progress("training")
        self._last = ""

    def __enter__(self) -> TrainingProgress:
        self._progress.__enter__()
        return self

    def embedded(self, done: int, clips: int) -> None:
        """As embeddings are computed."""
        self._progress.update(done, clips, "embeddings")

    def step(self, progress: StepProgress) -> None:
        """After every step."""
        self._last = (
            f"{progress.clips_per_second:5.1f} clips/s, {duration(progress.seconds_left)} left"
        )
        text = f"epoch {progress.epoch}/{progress.epochs}  loss {progress.loss:.3f}  {self._last}"
        self._progress.update(progress.step, progress.steps, text)

    def epoch(self, row: dict[str, float], epochs: int) -> None:
        """After every epoch."""
        say(
            f"epoch {row['epoch']:3.0f}/{epochs}  loss {row['train_loss']:6.3f}"
            f"  validation: loss {row['val_loss']:6.3f}  top-1 {100 * row['val_top1']:5.1f} %"
            f"  top-5 {100 * row['val_top5']:5.1f} %  {self._last}"
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.__exit__(kind, error, trace)


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 20 s``, ``1 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def bar(fraction: float) -> str:
    """A bar of 24 columns; ASCII where the terminal has no UTF-8."""
    if "utf" not in (getattr(sys.stdout, "encoding", None) or "").lower():
        return f"{'#' * round(_BAR * fraction):<{_BAR}}"
    eighths = round(_BAR * 8 * max(0.0, min(1.0, fraction)))
    full, rest = divmod(eighths, 8)
    return f"{'█' * full}{_EIGHTHS[rest] if rest else ''}".ljust(_BAR)


def colour(code: str, text: str, stream: Any) -> str:  # noqa: ANN401 - any text stream
    """Text in an ANSI colour, where the stream is a terminal that wants it."""
    if _wants_no_colour() or not _is_terminal(stream):
        return text
    return f"\033[{code}m{text}\033[0m"


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _wants_no_colour() -> bool:
    return bool(os.environ.get("NO_COLOR"))  # no-color.org
