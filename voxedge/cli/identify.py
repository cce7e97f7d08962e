"""``voxedge identify``: names for files, folders, patterns and stdin.

Only what one clip needs is imported: this command's start is measured beside a bare script.
"""

from __future__ import annotations

import glob
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Literal

import typer

from voxedge.audio.folders import ending, find, is_skipped, needs_av
from voxedge.audio.limits import Limits
from voxedge.cli import console, options
from voxedge.cli.limit import Limit
from voxedge.errors import NotAFile, SomeFilesFailed, UnreadableAudio, UsageError
from voxedge.inference.identifier import Identifier, default_embedding_model
from voxedge.inference.prediction import Failure, Prediction
from voxedge.text import printable

_NAME = 32  # columns that a speaker's name may take
_SHOWN = 5  # endings of files that are passed over
_LIMITS, _JOB = "Limits", "Batch jobs"
_DEFAULT = Limits()

app = options.command_app()


@app.command()
def identify(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATHS...", help="Files, folders, patterns; - for stdin.")
    ],
    model: options.ModelFile = None,
    gallery: options.NamingGallery = None,
    trust: options.Trust = None,
    accept: options.Accept = options.DEFAULT_SHARE,
    always_answer: options.AlwaysAnswer = False,
    cosine: options.Cosine = None,
    top_k: Annotated[int, typer.Option(min=1, help="Guesses to show.")] = 5,
    batch_size: options.BatchSize = 8,
    device: options.Device = "auto",
    windows: Annotated[
        Literal["all", "first"],
        typer.Option(help="Average over a long clip, or its first window with speech."),
    ] = "all",
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="That compute.", show_default="as many as processors"),
    ] = None,
    any_sound: options.AnySound = False,
    as_json: options.Json = False,
    engine: Annotated[
        Literal["here", "ray"],
        typer.Option(help="This process, or Ray Data's workers.", rich_help_panel=_JOB),
    ] = "here",
    out: Annotated[
        str | None,
        typer.Option(
            help="Folder of the answers in Parquet, and of the state.", rich_help_panel=_JOB
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(min=0, help="At the same time.", show_default="CPUs", rich_help_panel=_JOB),
    ] = 0,
    gpus: Annotated[
        float, typer.Option(min=0, help="Of each worker; 0.5: two share one.", rich_help_panel=_JOB)
    ] = 0.0,
    raw: Annotated[
        str | None,
        typer.Option(
            metavar="ENCODING,RATE,CHANNELS",
            help="Files without a header are such samples: s16le,16000,1.",
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Refuse clips that are cut off.", rich_help_panel=_LIMITS),
    ] = False,
    isolate: Annotated[
        bool,
        typer.Option(
            "--isolate",
            help="Decode in processes of their own, with limits on time, memory and system calls.",
            rich_help_panel=_LIMITS,
        ),
    ] = False,
    min_seconds: Annotated[
        float | None,
        typer.Option(
            help="Shorter clips are refused; the model file's own minimum always holds.",
            show_default="the model file's",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    max_seconds: Annotated[
        float, typer.Option(help="Of one clip that are used.", rich_help_panel=_LIMITS)
    ] = _DEFAULT.max_seconds,
    min_rate: Annotated[
        int, typer.Option(help="Hz; files below are refused.", rich_help_panel=_LIMITS)
    ] = _DEFAULT.min_rate,
    max_rate: Annotated[
        int, typer.Option(help="Hz; files above are refused.", rich_help_panel=_LIMITS)
    ] = _DEFAULT.max_rate,
    max_channels: Annotated[
        int, typer.Option(help="Files with more are refused.", rich_help_panel=_LIMITS)
    ] = _DEFAULT.max_channels,
    max_bytes: Annotated[
        int,
        typer.Option(
            help="Larger files are refused; stdin is held in memory up to this.",
            rich_help_panel=_LIMITS,
        ),
    ] = _DEFAULT.max_bytes,
) -> int:
    """Say who speaks in each clip: a speaker of the model file, or a person of a gallery."""
    if engine == "ray":
        from voxedge.cli.job import run_job

        return run_job(paths, out, model, None if always_answer else accept, workers, gpus, device)
    if out is not None or workers or gpus:
        raise UsageError("--out, --workers and --gpus are for batch jobs", "--engine ray")
    least = min_seconds or 0.0  # the model file's own minimum holds in any case
    limits = Limits(min_rate, max_rate, max_channels, max_seconds, max_bytes, least)
    identifier = Identifier(
        model or (None if gallery is None else default_embedding_model()),
        device=device,
        threads=threads,
        batch_size=batch_size,
        limits=limits,
        strict=strict,
        raw=raw,
        any_sound=any_sound,
        isolate=isolate,
    )
    if raw and any(map(os.path.isdir, paths)):
        raise UsageError("--raw takes files, patterns and -, not folders")
    for note in identifier.notes:
        console.warn(note)
    good, failed, worst = 0, 0, 0
    search = Search(paths, max_bytes)
    limit = Limit(accept, cosine, always_answer)
    answer: Callable[..., Iterator[Prediction | Failure]]
    if gallery is None:
        options.require_gallery(trust)
        answer = partial(identifier.identify_many, accept=limit.share(identifier))
    else:
        answer = _by_gallery(gallery, identifier, limit, trust)
    answers = answer(search.sources(), top_k=top_k, windows=windows)
    for result in chain(answers, search.failures):
        if as_json:
            console.answer(json.dumps(result.to_dict()))
        elif isinstance(result, Failure):
            console.complain(result.error, result.path)
        else:
            _show(result)
        if isinstance(result, Failure):
            failed += 1
            worst = max(worst, result.error.exit_code)
        else:
            good += 1
            for warning in result.warnings:
                console.warn(f"{result.path}: {warning}")
    search.report()
    if failed and good:
        raise SomeFilesFailed(f"{failed} of {good + failed} clips have no answer")
    return worst


def _by_gallery(
    where: str, identifier: Identifier, limit: Limit, trust: Path | None
) -> Callable[..., Iterator[Prediction | Failure]]:
    """``identify_many`` of a gallery."""
    from voxedge.cli.naming import open_gallery

    gallery = open_gallery(where, identifier, limit, trust)
    return partial(gallery.identify_many, accept=limit.accept, cosine=limit.cosine)


def _show(prediction: Prediction) -> None:
    """A clip's name and length, and a bar for each guess."""
    windows = f"{prediction.windows} window{'s' * (prediction.windows != 1)}"
    speech = prediction.speech_seconds
    spoken = "" if speech is None else f", {speech:.1f} s of speech"
    console.answer(
        console.colour("1", printable(prediction.path), sys.stdout)
        + f"  {prediction.seconds:.1f} s{spoken}, {windows}"
    )
    if prediction.speaker is None:
        console.answer(f"  unknown: {_why(prediction)}")
    rows: Sequence[tuple[str, float]] = prediction.matches or prediction.predictions
    names = [printable(name, _NAME) for name, _ in rows]
    width = max((len(name) for name in names), default=0)
    for row, (name, (_, value)) in enumerate(zip(names, rows, strict=True)):
        bar = console.colour("36", console.bar(value), sys.stdout)
        figures = [f"cosine {value:5.2f}"] if prediction.matches else []
        if prediction.predictions:
            figures.append(f"{100 * prediction.predictions[row].probability:5.1f} %")
        console.answer(f"  {name:<{width}}  {bar} {'  '.join(figures)}")


def _why(prediction: Prediction) -> str:
    """Why nobody is named."""
    if prediction.reason == "unknown" and prediction.threshold is not None:
        return f"nobody reaches a cosine of {prediction.threshold.cosine:.2f}"
    if prediction.known is not None and prediction.least_known is not None:
        return (
            f"one of the speakers with {100 * prediction.known:.0f} % probability,"
            f" less than {100 * prediction.least_known:.0f} %"
        )
    return str(prediction.reason)


class Search:
    """Finds the clips that the command line names, and remembers what it passes over.

    Folders are searched for audio, patterns are expanded, ``-`` is read from stdin.
    """

    def __init__(self, paths: list[str], max_bytes: int) -> None:
        self._paths = paths
        self._max_bytes = max_bytes
        self.failures: list[Failure] = []  # of folders; complete when all sources were taken
        self._need_av: Counter[str] = Counter()  # ending -> files
        self._not_audio: Counter[str] = Counter()

    def sources(self) -> Iterator[str | bytes]:
        """Yield the clips: paths, or the content of stdin."""
        for path in self._paths:
            yield from self._expand(path)

    def report(self) -> None:
        """Say how many files were passed over, and why."""
        if self._need_av:
            console.warn(f"{_count(self._need_av)} passed over: {needs_av()}")
        if self._not_audio:
            console.say(f"{_count(self._not_audio)} passed over: not audio by the ending")

    def _expand(self, path: str) -> Iterator[str | bytes]:
        if path == "-":
            if sys.stdin is None:
                raise UsageError("- stands for stdin, which is closed")
            yield sys.stdin.buffer.read(self._max_bytes + 1)
        elif os.path.isdir(path):  # noqa: PTH112 - names may hold any bytes
            yield from self._in_folder(path)
        elif not os.path.lexists(path) and glob.has_magic(path):
            matched = glob.glob(path, recursive=True)  # noqa: PTH207
            if not matched:
                yield path
            yield from self._matched(matched)
        else:
            yield path

    def _matched(self, paths: list[str]) -> Iterator[str | bytes]:
        """Clips of what matches a pattern; ``**`` matches a folder and its content: once each."""
        folder: str | None = None
        for path in sorted(paths, key=_with_slash):
            within = folder is not None and path.startswith(folder) and path != folder
            if not within and not is_skipped(os.path.basename(path)):  # noqa: PTH119
                folder = _with_slash(path)
                yield from self._expand(path)

    def _in_folder(self, folder: str) -> Iterator[str]:
        """Clips of a folder and those below, in the order of their paths, as they are listed."""
        clips, failed = 0, len(self.failures)
        need_av: Counter[str] = Counter()
        for found in find(folder):
            if found.kind == "clip":
                clips += 1
                yield found.path
            elif found.kind == "unlisted" and found.error:
                self.failures.append(Failure(found.path, found.error))
            elif found.kind == "needs_av":
                need_av[ending(found.path)] += 1
            elif found.kind == "other":
                self._not_audio[ending(found.path)] += 1
        if clips or len(self.failures) > failed:
            self._need_av.update(need_av)
        elif need_av:
            why = needs_av()
            message = f"no audio that can be read here: {_count(need_av)}: {why.message}"
            self.failures.append(Failure(folder, UnreadableAudio(message, why.hint)))
        else:
            self.failures.append(Failure(folder, NotAFile("a folder without audio files")))


def _with_slash(path: str) -> str:
    """With a slash at its end, a path sorts directly before what it holds."""
    return os.path.join(path, "")  # noqa: PTH118


def _count(endings: Counter[str]) -> str:
    """How many files, and with which endings: ``3 files (2 .m4a, 1 .webm)``."""
    files = endings.total()
    kinds = ", ".join(f"{count} {kind}" for kind, count in endings.most_common(_SHOWN))
    return f"{files} file{'s' * (files != 1)} ({kinds}{', ...' * (len(endings) > _SHOWN)})"
