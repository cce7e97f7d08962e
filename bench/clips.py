"""Which clips of a run are measured, and their windows.

Shapes: N windows, C clips, W samples of a window.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from voxedge.audio.limits import Samples
from voxedge.audio.load import load_audio
from voxedge.audio.windows import active_windows, batches, cut_windows
from voxedge.data.clips import Clip
from voxedge.train.run import Run

Integers: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Windows:
    """The windows of labelled clips."""

    pcm: Samples  # [N, W], rows shorter than W zero-filled
    lengths: Integers  # [N]
    clip_index: Integers  # [N], the clip of each window
    truth: Integers  # [C], the class of each clip


def held_out_clips(run: Run) -> list[Clip]:
    """The test side of a run: neither its weights nor its best epoch depend on it."""
    return [clip for clip in run.manifest().clips if clip.split == "test"]


def held_out_windows(run: Run) -> Windows:
    """The windows of a run's test clips, cut as ``identify`` cuts them; at least one of each."""
    frontend = run.recipe().frontend
    rate = frontend.sample_rate
    window = round(frontend.window_seconds * rate)
    clips = held_out_clips(run)
    pairs: list[tuple[int, Samples]] = []
    for index, clip in enumerate(clips):
        samples = load_audio(clip.source, rate)
        own = active_windows(samples, window, rate) or cut_windows(samples, window, "first")
        pairs += [(index, part) for part in own]
    (batch,) = batches(pairs, len(pairs), window)
    classes = {label: index for index, label in enumerate(run.labels())}
    truth = np.array([classes[clip.speaker] for clip in clips])
    return Windows(batch.pcm, batch.lengths, np.array(batch.keys), truth)


def recordings(run: Run, count: int) -> list[Path]:
    """Files of a run, spread evenly over its speakers; repeated where there are fewer."""
    sources = (clip.source for clip in run.manifest().clips)
    paths = [source for source in sources if isinstance(source, Path)]
    spread = np.linspace(0, len(paths), min(count, len(paths)), endpoint=False).astype(int)
    return [paths[spread[n % len(spread)]] for n in range(count)]
