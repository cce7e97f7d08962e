"""Runs on a GPU in a few shapes, each through buffers that stay.

A GPU's kernels are chosen anew for every shape that comes, and TensorRT even builds an engine for
it; allocating, and copying from memory that the system may move, can take as long as a small
network. So batches are filled up to a power of two, and each of these has its buffers on the device
bound once and, where ONNX Runtime offers it, a pinned one of the host to copy from and to
(ONNX Runtime's documentation, "I/O Binding"). Answers are those of a plain run.

Shapes: B windows of a batch, N values of a window as the device holds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

#: Where a provider's tensors lie; those of others are not bound.
PLACES = {"CUDAExecutionProvider": "cuda", "TensorrtExecutionProvider": "cuda"}

Array: TypeAlias = npt.NDArray[Any]


class FixedBatches:
    """A session whose first provider is one of ``PLACES``; threads take turns.

    Args:
        session: onnxruntime.InferenceSession of a model file of ours.
        samples: N; rows of another length are run as they come.
        largest: B that is bound; so are larger batches.
    """

    def __init__(self, session: Any, samples: int, largest: int) -> None:  # noqa: ANN401
        self._session, self._samples, self._largest = session, samples, largest
        self._bound: dict[int, _Bound] = {}
        self._lock = Lock()

    def run(self, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        """As ``onnxruntime.InferenceSession.run``, of ``pcm`` and maybe ``lengths``."""
        rows, samples = feeds["pcm"].shape
        if not 0 < rows <= self._largest or samples != self._samples:
            plain: list[Array] = self._session.run(names, feeds)
            return plain
        whole = {"lengths": np.full(rows, samples, np.int64), **feeds}
        size = min(self._largest, 1 << (rows - 1).bit_length())
        with self._lock:
            if size not in self._bound:
                self._bound[size] = _Bound(self._session, size, whole)
            return self._bound[size].run(names, whole)


class _Bound:
    """The buffers of one batch size."""

    def __init__(self, session: Any, size: int, feeds: Mapping[str, Array]) -> None:  # noqa: ANN401
        from onnxruntime import OrtValue

        new = OrtValue.ortvalue_from_shape_and_type
        provider = session.get_providers()[0]
        pinned = _pinned_memory(provider)
        host = {} if pinned is None else {"memory_info": pinned}
        fed = {name: ([size, *value.shape[1:]], value.dtype.type) for name, value in feeds.items()}
        columns = {value.name: value.shape[1] for value in session.get_outputs()}
        self._session, self._size = session, size
        self._device = {name: new(*kind, PLACES[provider], 0) for name, kind in fed.items()}
        self._staged = {name: new(*kind, **host) for name, kind in fed.items() if host}
        self._results = {name: new([size, n], np.float32, **host) for name, n in columns.items()}
        self._binding = session.io_binding()
        for name, value in self._device.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._results.items():
            self._binding.bind_ortvalue_output(name, value)

    def run(self, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
        """Copy in, run, copy out; for rows that are missing the first one stands in."""
        rows = len(feeds["pcm"])
        filled = [*range(rows), *[0] * (self._size - rows)]
        for name, value in feeds.items():
            whole: Any = value if rows == self._size else value[filled]
            if name in self._staged:
                self._staged[name].update_inplace(whole)
                whole = self._staged[name]
            self._device[name].update_inplace(whole)
        self._session.run_with_iobinding(self._binding)
        return [self._results[name].numpy()[:rows].copy() for name in names]


def _pinned_memory(provider: str) -> Any:  # noqa: ANN401 - onnxruntime.OrtMemoryInfo, or None
    """Memory of the host that the provider's device copies from by itself; None: as any other."""
    import onnxruntime

    if not hasattr(onnxruntime, "get_ep_devices"):
        return None
    kind = onnxruntime.OrtDeviceMemoryType.HOST_ACCESSIBLE
    own = (device for device in onnxruntime.get_ep_devices() if device.ep_name == provider)
    return next((device.memory_info(kind) for device in own), None)
