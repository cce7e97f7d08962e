"""What a model file still holds of its weights, for a training that begins with them.

Its batch norms are folded into the convolutions and cannot be told from them any more. So every
norm comes back as one that adds what the convolution is to add, and changes nothing else: the same
numbers, as long as the trunk stays as it is (``training.frozen`` = 1).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from voxedge.errors import RunError
from voxedge.install import needs_extra
from voxedge.model_file.reader import read_model

if TYPE_CHECKING:
    from onnx import GraphProto

Array = npt.NDArray[np.float32]

TRUNK, STATISTICS = "net.trunk.", "net.bypass."  # before the names, in checkpoints as in graphs
_NORM = ("weight", "bias", "running_mean", "running_var")  # a BatchNormalization's constants


@dataclass(frozen=True)
class Stored:
    """The constants of a model file in float32, whatever they are kept as.

    Args:
        path: of the file.
        recipe: that it was trained with, as far as it says so.
        convolutions: kernel and bias of the trunk's, by the name of the module.
        statistics: a state dict for ``VoiceStatistics``; empty where the file has none.
    """

    path: Path
    recipe: dict[str, Any]
    convolutions: dict[str, tuple[Array, Array]]
    statistics: dict[str, Array]

    def trunk_state(self, trunk: nn.Module) -> dict[str, Tensor]:
        """A state dict for such a trunk.

        Raises:
            RunError: the file has other convolutions.
        """
        layers = [(name, layer) for name, layer in trunk.named_modules() if not [*layer.children()]]
        wanted = {name for name, layer in layers if isinstance(layer, nn.Conv2d)}
        if other := wanted ^ self.convolutions.keys():
            raise RunError(f"{self.path} holds another trunk: {sorted(other)[0]}, for one, differs")
        state: dict[str, Tensor] = {}
        for (name, layer), (after, norm) in zip(layers, [*layers[1:], ("", None)], strict=True):
            if not isinstance(layer, nn.Conv2d):
                continue
            kernel, bias = self.convolutions[name]
            colours = layer.in_channels // layer.groups
            if kernel.shape[1] == 1 < colours:  # summed over the colours of a grey image
                kernel = kernel.repeat(colours, axis=1) / np.float32(colours)
            state[f"{name}.weight"] = torch.tensor(kernel)
            if isinstance(norm, nn.BatchNorm2d):
                state |= _adding(after, bias, norm.eps)
                bias = np.zeros_like(bias)
            if layer.bias is not None:
                state[f"{name}.bias"] = torch.tensor(bias)
        return state


def stored(path: Path) -> Stored:
    """Read a sealed model file.

    Raises:
        ModelError: it is none of ours, or damaged.
        MissingExtra: the onnx package is not installed.
    """
    recipe = read_model(path).metadata.training.get("recipe", {})
    with needs_extra("export"):
        import onnx
    return read_graph(path, recipe, onnx.load(path).graph)


def read_graph(path: Path, recipe: dict[str, Any], graph: GraphProto) -> Stored:
    """What a graph holds that was exported with a recipe."""
    constants = _Constants(graph)
    statistics: dict[str, Array] = {}
    for node in graph.node:
        own = [name for name in node.input if name.startswith(STATISTICS)]
        if own and node.op_type == "BatchNormalization":
            parts = zip(_NORM, node.input[1:], strict=True)
            statistics |= {f"norm.{part}": constants.value(name) for part, name in parts}
            statistics["norm.num_batches_tracked"] = np.zeros((), np.int64)
        elif own and node.op_type == "Gemm" and f"{STATISTICS}linear.bias" in own:
            statistics["linear.weight"] = constants.value(node.input[1])
            statistics["linear.bias"] = constants.value(node.input[2])
    return Stored(path, recipe, dict(_convolutions(graph, constants)), statistics)


class _Constants:
    """What a graph holds written out, or reads out of fewer bits."""

    def __init__(self, graph: GraphProto) -> None:
        from onnx import numpy_helper

        self._written = {tensor.name: tensor for tensor in graph.initializer}
        self._producers = {name: node for node in graph.node for name in node.output}
        self._to_array = numpy_helper.to_array

    def value(self, name: str) -> Array:
        """A constant in float32."""
        if name in self._written:
            array: Array = self._to_array(self._written[name]).astype(np.float32)
            return array
        node = self._producers[name]
        first, *others = map(self.value, node.input)
        if node.op_type == "Cast":
            return first
        if node.op_type == "Mul":
            return first * others[0]
        scale, zero_point = others  # of DequantizeLinear, along the first axis
        each = (-1,) + (1,) * (first.ndim - 1)
        return (first - zero_point.reshape(each)) * scale.reshape(each)


def _convolutions(
    graph: GraphProto, constants: _Constants
) -> Iterator[tuple[str, tuple[Array, Array]]]:
    for node in graph.node:
        if node.op_type == "Conv" and node.input[1].startswith(TRUNK):
            kernel = constants.value(node.input[1])
            bias = np.zeros(len(kernel), np.float32)
            if len(node.input) > 2:
                bias = constants.value(node.input[2])
            yield node.input[1].removeprefix(TRUNK).split(".weight")[0], (kernel, bias)


def _adding(name: str, bias: Array, epsilon: float) -> dict[str, Tensor]:
    """The state of a batch norm that only adds: of mean 0, and deviation 1 with its epsilon."""
    added = torch.tensor(bias)
    return {
        f"{name}.weight": torch.ones_like(added),
        f"{name}.bias": added,
        f"{name}.running_mean": torch.zeros_like(added),
        f"{name}.running_var": torch.full_like(added, 1 - epsilon),
        f"{name}.num_batches_tracked": torch.tensor(0),
    }
