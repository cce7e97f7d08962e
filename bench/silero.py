"""Make ``voxedge/speech/silero.npy`` from the network as its authors publish it.

``python -m bench.silero silero_vad_16k_sequence.onnx``: the file is in the wheel of ``silero-vad``
(``pip download --no-deps silero-vad==6.2.3``). Its Fourier transform is computed, not stored.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from voxedge.speech.network import FILE, SHAPES

_GATES = [0, 2, 3, 1]  # ONNX: input, output, forget, cell


def parameters(path: Path) -> npt.NDArray[np.float16]:
    """The parameters that ``voxedge.speech.network`` reads, in its order.

    Half precision moves a probability by 0.01 at most.
    """
    graph = onnx.load(path).graph
    found = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    (cell,) = (node for node in graph.node if node.op_type == "LSTM")
    given, hidden, biases = (found[name][0] for name in cell.input[1:4])
    values = {"input": _in_order(given).T, "hidden": _in_order(hidden).T}
    values["gates"] = sum(map(_in_order, np.split(biases, 2)))
    for layer, taps in enumerate((slice(3), slice(3), slice(1, 3), slice(1, 2))):
        weights = found[f"encoder.{layer}.weight"]  # [output channels, input channels, taps]
        values[f"conv{layer + 1}"] = weights.transpose(2, 1, 0)[taps]
        values[f"bias{layer + 1}"] = found[f"encoder.{layer}.bias"]
    values["output"], values["offset"] = found["output.weight"], found["output.bias"]
    return np.concatenate([values[name].ravel() for name in SHAPES]).astype(np.float16)


def _in_order(gates: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.concatenate([np.split(gates, 4)[number] for number in _GATES])


if __name__ == "__main__":
    np.save(FILE, parameters(Path(sys.argv[1])))
