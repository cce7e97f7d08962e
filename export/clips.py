"""Which of a run's clips an export is measured and calibrated on.

Every choice is deterministic, so that the same run exported twice gives the same file. Clips that
cannot be read any more are skipped.

Shapes: S samples.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import TypeAlias

from voxedge.audio.folders import find
from voxedge.audio.limits import Samples
from voxedge.audio.load import load_audio
from voxedge.data.clips import Clip
from voxedge.errors import AudioError, CorpusError
from voxedge.train.run import Run

LabelledClip: TypeAlias = tuple[int, Samples]  # class index, and samples [S]

_PARITY_CLIPS = 64  # at most, up to rounding
_CALIBRATION_CLIPS = 256  # at least, and one of every speaker
#: Clips that strangers are told by: at most, of the speakers and of impostors.
OPEN_SET_CLIPS = 600
_VALIDATION_CLIPS = 2_000  # at most: half a point of accuracy is then 10 clips


def parity_clips(run: Run, data: Path | None, rate: int) -> list[Samples]:
    """Evenly spaced validation and test clips.

    Args:
        run: a run folder.
        data: where the run's corpus lies now, if it moved.
        rate: Hz, to decode at.

    Raises:
        CorpusError: none of them can be read.
    """
    clips = [c for c in run.manifest(data).clips if c.split in ("validation", "test")]
    step = max(1, len(clips) // _PARITY_CLIPS)
    decoded = [_decode(clip, rate) for clip in clips[::step]]
    readable = [samples for samples in decoded if samples is not None]
    if not readable:
        raise CorpusError("no clip of the run can be read to show parity on", "--data FOLDER")
    return readable


def validation_clips(
    run: Run, data: Path | None, most: int = _VALIDATION_CLIPS
) -> Iterator[LabelledClip]:
    """Validation clips at the model's rate, at most so many, decoded one at a time."""
    rate = run.recipe().frontend.sample_rate
    classes = {label: index for index, label in enumerate(run.labels())}
    clips = [clip for clip in run.manifest(data).clips if clip.split == "validation"]
    step = max(1, math.ceil(len(clips) / most))
    for clip in clips[::step]:
        if (samples := _decode(clip, rate)) is not None:
            yield classes[clip.speaker], samples


def impostor_clips(folder: Path, rate: int) -> Iterator[Samples]:
    """Evenly spaced clips of a folder, with its folders, decoded one at a time.

    Raises:
        CorpusError: none of them can be read.
    """
    paths = [Path(each.path) for each in find(str(folder)) if each.kind == "clip"]
    step = max(1, math.ceil(len(paths) / OPEN_SET_CLIPS))
    empty = True
    for path in paths[::step]:
        with suppress(AudioError):
            yield load_audio(path, rate)
            empty = False
    if empty:
        raise CorpusError(f"no clip of {folder} can be read", "--impostors FOLDER")


def calibration_clips(run: Run, data: Path | None) -> list[Samples]:
    """Training clips at the model's rate: the first of every speaker, the second of each, ..."""
    rate = run.recipe().frontend.sample_rate
    by_speaker: dict[str, list[Clip]] = defaultdict(list)
    for clip in sorted(run.manifest(data).clips, key=lambda clip: (clip.speaker, clip.name)):
        if clip.split == "train":
            by_speaker[clip.speaker].append(clip)
    chosen: list[Samples] = []
    for one_of_each in zip_longest(*by_speaker.values()):
        decoded = (_decode(clip, rate) for clip in one_of_each if clip)
        chosen += [samples for samples in decoded if samples is not None]
        if len(chosen) >= _CALIBRATION_CLIPS:
            break
    return chosen


def _decode(clip: Clip, rate: int) -> Samples | None:
    try:
        return load_audio(clip.source, rate)
    except AudioError:
        return None
