"""The inputs of a model file's graph, from a batch of mono samples.

Shapes: B windows of a batch, S samples, V values of all clips.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from voxedge.audio.limits import Samples
from voxedge.audio.windows import as_buffer
from voxedge.model_file.metadata import Metadata

COUNTS = "counts"  # of the ragged form: values of each clip in the buffer, all channels together


def make_feeds(
    metadata: Metadata, pcm: Samples, lengths: npt.NDArray[np.int64] | None
) -> dict[str, npt.NDArray[Any]]:
    """Inputs by name, in the form that the file takes.

    Args:
        metadata: of the file.
        pcm: mono [B, S] at the file's rate.
        lengths: [B], valid samples of each row; None: all of them.
    """
    buffer = as_buffer(pcm, metadata.dtype, metadata.channels)
    if metadata.ragged:
        every = np.full(len(pcm), pcm.shape[1], np.int64)
        return ragged_feeds(buffer, every if lengths is None else lengths, metadata.channels)
    if lengths is None:
        return {"pcm": buffer}
    return {"pcm": buffer, "lengths": np.ascontiguousarray(lengths, np.int64)}


def ragged_feeds(
    buffer: npt.NDArray[Any], lengths: npt.NDArray[np.int64], channels: int
) -> dict[str, npt.NDArray[Any]]:
    """``pcm`` [V] and ``counts`` int32 [B] of padded rows [B, S * channels] and their lengths."""
    counts = np.minimum(lengths * channels, buffer.shape[1]).astype(np.int32)
    clips = [row[:count] for row, count in zip(buffer, counts, strict=True)]
    return {"pcm": np.concatenate(clips), COUNTS: counts}
