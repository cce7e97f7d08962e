"""Batches in a few sizes, for providers that prepare anew for every shape that comes.

CUDA chooses its kernels for a shape when it first sees it; TensorRT even builds an engine for it.
So a batch is filled up to a power of two, and the answers for what was filled in are cut off again.
Buffers that are bound once gave wrong answers on a GPU, and gained nothing (docs/experiments.md).

Shapes: B windows of a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

#: The execution providers that batches are filled up for.
PREPARING = frozenset({"CUDAExecutionProvider", "TensorrtExecutionProvider"})

Run: TypeAlias = Callable[[list[str], dict[str, npt.NDArray[Any]]], list[npt.NDArray[Any]]]


def in_few_sizes(run: Run, largest: int) -> Run:
    """The same run; batches of at most ``largest`` come to it as the next power of two, or that.

    Args:
        run: ``onnxruntime.InferenceSession.run`` of a model file of ours.
        largest: B; larger batches are run as they come.
    """

    def run_filled(names: list[str], feeds: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        rows = len(feeds["pcm"])
        size = min(largest, 1 << max(0, rows - 1).bit_length())
        if size <= rows or any(len(value) != rows for value in feeds.values()):
            return run(names, feeds)  # what does not fit together is ONNX Runtime's to refuse
        filled = {name: _repeated(value, size) for name, value in feeds.items()}
        return [output[:rows] for output in run(names, filled)]

    return run_filled


def _repeated(rows: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """[B, ...] -> [size, ...]: the first row stands in for those that are missing."""
    return np.concatenate([rows, np.repeat(rows[:1], size - len(rows), axis=0)])
