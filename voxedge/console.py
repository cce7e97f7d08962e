"""What people see: bars, tables and progress on a terminal; plain lines in a pipe.

Answers go to stdout, everything said about them to stderr. Names come from folders and model
files, so nothing is printed that could steer a terminal.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from voxedge.errors import VoxedgeError

if TYPE_CHECKING:
    from voxedge.runtime import Failure, Prediction
    from voxedge.train.loop import StepProgress

_BAR = 24
_NAME = 32  # columns that a speaker's name may take
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_SHOWN = 20  # of a long list
_EVERY = 15.0  # seconds between two lines of progress where there is no terminal


def printable(text: str, limit: int = 200) -> str:
    """Text without control, format (bidi) or undecodable characters, and not endless."""
    shown = "".join(
        c if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else f"\\u{ord(c):04x}"
        for c in text[:limit]
    )
    return shown + "…" if len(text) > limit else shown


def say(message: str = "", end: str = "\n") -> None:
    """A line for people, on stderr."""
    _write(sys.stderr, message + end)


def answer(line: str) -> None:
    """A line of the answer, on stdout, at once.

    Raises:
        SystemExit: with 141 where nobody reads on (``| head``), as if SIGPIPE had ended us.
    """
    _write(sys.stdout, line + "\n")


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:  # closed before we began
        return
    try:
        stream.write(
            text.encode(stream.encoding or "utf-8", "backslashreplace").decode(
                stream.encoding or "utf-8"
            )
        )
        stream.flush()
    except BrokenPipeError:  # nothing more is to be flushed when the interpreter ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise SystemExit(128 + signal.SIGPIPE) from None


def complain(error: VoxedgeError, subject: str = "") -> None:
    """One error: what happened, and what to do."""
    where = f"{printable(subject)}: " if subject else ""
    say(f"{_colour('31', 'error', sys.stderr)}: {where}{printable(error.message, 2000)}")
    if error.hint:
        say(f"  {printable(error.hint, 2000)}")


def warn(message: str) -> None:
    """Something that is worth knowing and stops nothing."""
    say(f"{_colour('33', 'warning', sys.stderr)}: {printable(message, 2000)}")


def show_prediction(prediction: Prediction) -> None:
    """A clip's name and length, and a bar for each guess."""
    windows = f"{prediction.windows} window{'s' * (prediction.windows != 1)}"
    answer(
        _colour("1", printable(prediction.path), sys.stdout)
        + f"  {prediction.seconds:.1f} s, {windows}"
    )
    if prediction.speaker is None:
        answer(f"  unknown: {prediction.reason}")
    names = [printable(score.speaker, _NAME) for score in prediction.predictions]
    width = max((len(name) for name in names), default=0)
    for name, score in zip(names, prediction.predictions, strict=True):
        bar = _colour("36", _bar(score.probability), sys.stdout)
        answer(f"  {name:<{width}}  {bar} {100 * score.probability:5.1f} %")


def show_failure(failure: Failure) -> None:
    """A clip that has no answer."""
    complain(failure.error, failure.path)


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A small table on stdout: first column to the left, the others to the right."""
    cells = [[printable(str(value), 80) for value in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(columns), *cells]) for i in range(len(columns))]
    if title:
        answer(_colour("1", title, sys.stdout))
    for row in [list(columns), *cells]:
        line = "  ".join(
            value.ljust(width) if i == 0 else value.rjust(width)
            for i, (value, width) in enumerate(zip(row, widths, strict=True))
        )
        answer(f"  {line}".rstrip())


def show_accuracy(found: dict[str, Any], precision: str) -> None:
    """What lower precision cost (``parity.accuracy`` of a model file's metadata)."""
    show_table(
        f"{precision} beside float32: {found['clips']} validation clips",
        ["", "float32", precision, "lost", "allowed", "agreement"],
        [
            [
                f"top-{k}",
                f"{found[f'top{k}']['float32']:.1%}",
                f"{found[f'top{k}'][precision]:.1%}",
                f"{found[f'top{k}']['lost']} clips",
                f"{found[f'top{k}']['allowed']} clips",
                f"{found[f'top{k}']['agreement']:.1%}",
            ]
            for k in (1, 5)
        ],
    )
    show_table(
        "answers changed, by the confidence of float32",
        ["", "clips", "changed", ""],
        [
            [
                f"{band['low']:.0%} to {band['high']:.0%}",
                band["clips"],
                band["changed"],
                f"{band['changed'] / max(1, band['clips']):.1%}",
            ]
            for band in found["changed_by_confidence"]
        ],
    )
    if found["in_float"]:
        answer(f"left in float32: {', '.join(found['in_float'])}")


def show_model(facts: dict[str, Any]) -> None:
    """A model file's metadata, as ``voxedge inspect --json`` has it; parts of it may be missing."""
    from voxedge.metrics import Interval

    labels = facts["labels"]
    names = ", ".join(printable(label, _NAME) for label in labels[:8])
    more = f" and {len(labels) - 8} more" if len(labels) > 8 else ""
    dtype = facts["input"].get("dtype", "float32")
    count = facts["input"].get("channels", 1)
    channels = "mono" if count == 1 else f"{count} channels, interleaved"
    rows = [
        ("speakers", f"{len(labels)}: {names}{more}"),
        ("input", f"pcm {dtype} [batch, samples], {facts['sample_rate']} Hz {channels}"),
        ("window", f"{facts['window_seconds']:g} s, clips from {facts['min_seconds']:g} s"),
        ("embedding", f"{facts['embedding_dim']} values"),
        ("size", f"{facts['bytes'] / 1e6:.1f} MB, {facts['precision']}, opset {facts['opset']}"),
        ("temperature", f"{facts['temperature']:g}"),
        ("thresholds", json.dumps(facts["thresholds"]) if facts["thresholds"] else "none"),
        ("licence", facts["licence"] or "not stated"),
        ("digest", facts["digest"]),
    ]
    with suppress(KeyError, TypeError, ValueError, AttributeError):  # written by another program
        parity = facts["parity"]
        rows.append(
            (
                "parity",
                f"logits within {parity['logits']:.1e} of {parity['reference']}, top-1 agrees in"
                f" {parity['top1']:.0%}, {parity['windows']} windows",
            )
        )
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        accuracy = facts["parity"]["accuracy"]
        for name in ("top1", "top5"):
            figures = accuracy[name]
            rows.append(
                (
                    f"{facts['precision']} {name}",
                    f"{figures[facts['precision']]:.1%}, float32 {figures['float32']:.1%}, agree in"
                    f" {figures['agreement']:.1%} of {accuracy['clips']} validation clips",
                )
            )
        rows.append(("in float32", ", ".join(accuracy["in_float"]) or "front end and head"))
    measured = "" if facts["precision"] == "fp32" else " in float32"
    for name in ("top1", "top5"):
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            test = Interval(**facts["metrics"][name])
            rows.append((f"test {name}", test.percent() + measured))
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        origin = facts["training"]
        versions = " ".join(f"{key} {value}" for key, value in origin["versions"].items())
        rows += [
            ("recipe", f"{origin['recipe']['name']}, {origin['epochs']} epochs"),
            ("trained on", f"{origin['clips']} clips, {origin['data_digest'][:16]}"),
            ("made with", versions),
        ]
    answer(printable(facts["path"]))
    for name, value in rows:
        answer(f"  {name:<12} {printable(value, 600)}")


def show_machine(facts: dict[str, Any]) -> None:
    """What ``voxedge doctor`` found (``voxedge.doctor.examine``)."""
    from voxedge.doctor import INSTRUCTIONS

    runtime, latency = facts["runtime"], facts["latency"]
    rows = [
        ("system", facts["system"]),
        ("processor", f"{facts['processor']}, {facts['processors']} to be used"),
        *(("", INSTRUCTIONS[name]) for name in facts["instructions"]),
        ("runtime", f"ONNX Runtime {runtime['version']}" if "version" in runtime else "none"),
        *(("provider", f"{name}: {state}") for name, state in facts["providers"].items()),
        *(("variable", f"{name}={value}") for name, value in facts["variables"].items()),
    ]
    if latency and "error" not in latency:
        times = ", ".join(
            f"{value} ms with {count} thread{'s' * (count != 1)}"
            for count, value in latency["milliseconds"].items()
        )
        window = f"{latency['window_seconds']:g} s window"
        rows.append(
            ("latency", f"{times} ({latency['precision']}, {window}, {latency['runs']} runs)")
        )
    for name, value in rows:
        answer(f"  {name:<10} {printable(value, 300)}")
    answer(f"advice: {printable(facts['advice'], 300)}")


def show_corpus(report: dict[str, Any]) -> None:
    """What ``voxedge data check`` found (``voxedge.data.check.check_corpus``)."""
    speakers = report["speakers"]
    answer(
        f"{printable(report['path'])}: {len(speakers)} speakers, {report['usable']} usable"
        f" clips of {report['clips']}, {report['hours']:.2f} h"
    )
    rates = ", ".join(f"{rate} Hz: {count}" for rate, count in report["rates"].items())
    answer(f"  rates    {rates or 'none'}")
    clips = [own["clips"] for own in speakers.values()]
    seconds = [own["seconds"] for own in speakers.values()]
    if speakers:
        answer(f"  clips    {min(clips)} to {max(clips)} a speaker")
        answer(f"  seconds  {min(seconds):.1f} to {max(seconds):.1f} a speaker")
        several = sum(own["sessions"] > 1 for own in speakers.values())
        answer(f"  sessions {several} speakers have several")
    rows = sorted(speakers.items(), key=lambda item: (item[1]["clips"], item[0]))
    show_table(
        "speakers, those with the fewest clips first" if len(rows) > _SHOWN else "speakers",
        ["", "clips", "seconds", "sessions"],
        [[name, own["clips"], own["seconds"], own["sessions"]] for name, own in rows[:_SHOWN]],
    )
    for kind in ("problems", "warnings"):
        items = report[kind]
        if items:
            answer(f"{len(items)} {kind}")
            counts = Counter(item.get("code", "warning") for item in items)
            answer("  " + ", ".join(f"{code}: {n}" for code, n in counts.most_common()))
        for item in items[:_SHOWN]:
            path, message = printable(item["path"]), printable(item["message"])
            answer(f"  {path}: {message}")
        if len(items) > _SHOWN:
            answer(f"  and {len(items) - _SHOWN} more: --json lists them all")
    if report["ignored"]:
        answer(f"{len(report['ignored'])} files are not audio by their ending, and ignored")
    if not report["trainable"]:
        warn("two speakers with enough usable clips are needed to train")


class Progress(AbstractContextManager["Progress"]):
    """A bar on a terminal; elsewhere a line every 15 seconds. On stderr."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._bar: Any = None
        self._task: Any = None
        self._spoken = time.monotonic()

    def __enter__(self) -> Progress:
        if sys.stderr is not None and sys.stderr.isatty():
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


def _bar(fraction: float) -> str:
    if "utf" not in (getattr(sys.stdout, "encoding", None) or "").lower():
        return f"{'#' * round(_BAR * fraction):<{_BAR}}"
    eighths = round(_BAR * 8 * max(0.0, min(1.0, fraction)))
    full, rest = divmod(eighths, 8)
    return f"{'█' * full}{_EIGHTHS[rest] if rest else ''}".ljust(_BAR)


def _colour(code: str, text: str, stream: Any) -> str:  # noqa: ANN401 - any text stream
    if os.environ.get("NO_COLOR") or stream is None or not stream.isatty():
        return text
    return f"\033[{code}m{text}\033[0m"
