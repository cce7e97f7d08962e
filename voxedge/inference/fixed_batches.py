"""Pad batches to a few sizes, for execution providers that prepare for each new shape.

CUDA chooses its kernels for a shape when it first sees it, and TensorRT builds an engine for it. So
a batch is padded to a power of two, and the outputs of the padding are cut off. Binding fixed
buffers instead gave wrong answers on a GPU, and was not faster (docs/decisions.md).

Shapes: B windows of a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

#: The execution providers for which batches are padded.
PREPARING = frozenset({"CUDAExecutionProvider", "TensorrtExecutionProvider"})

#: Runs a session: names of outputs, and inputs by name -> outputs.
RunSession: TypeAlias = Callable[[list[str], dict[str, npt.NDArray[Any]]], list[npt.NDArray[Any]]]


def in_few_sizes(run: RunSession, largest: int) -> RunSession:
    """Wrap ``run``, so that batches of up to ``largest`` windows have the size of a power of two.

    Args:
        run: ``onnxruntime.InferenceSession.run`` of a model file.
        largest: the largest size; larger batches are run as they are.
    """

    def run_padded(names: list[str], feeds: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        rows = len(feeds["pcm"])
        size = min(largest, 1 << max(0, rows - 1).bit_length())
        if size <= rows or any(len(value) != rows for value in feeds.values()):
            return run(names, feeds)  # inputs that do not fit together are ONNX Runtime's to refuse
        padded = {name: _padded(value, size) for name, value in feeds.items()}
        return [output[:rows] for output in run(names, padded)]

    return run_padded


def _padded(rows: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """[B, ...] -> [size, ...], padded with copies of the first row."""
    return np.concatenate([rows, np.repeat(rows[:1], size - len(rows), axis=0)])
