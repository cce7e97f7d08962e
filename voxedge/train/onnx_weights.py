"""Read the weights of a model file, as initial weights of a training.

The export has folded the batch norms into the convolutions, which cannot be undone. So each
convolution gets its folded kernel, and the batch norm behind it only adds the folded bias. The
trunk computes the same, as long as it stays frozen (``training.frozen`` = 1).
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

TRUNK, STATISTICS = "net.trunk.", "net.bypass."  # prefixes in checkpoints and in graphs
_NORM = ("weight", "bias", "running_mean", "running_var")  # inputs 1 to 4 of BatchNormalization


@dataclass(frozen=True)
class Stored:
    """The weights of a model file in float32, whatever precision the file has.

    Args:
        path: of the file.
        recipe: of its training; empty if the file does not say.
        convolutions: kernel and bias of the trunk's convolutions, by the name of the module.
        statistics: a state dict for ``VoiceStatistics``; empty if the file has none.
    """

    path: Path
    recipe: dict[str, Any]
    convolutions: dict[str, tuple[Array, Array]]
    statistics: dict[str, Array]

    def trunk_state(self, trunk: nn.Module) -> dict[str, Tensor]:
        """Make a state dict for a trunk.

        Raises:
            RunError: the trunk has other convolutions than the file.
        """
        layers = [(name, layer) for name, layer in trunk.named_modules() if not [*layer.children()]]
        wanted = {name for name, layer in layers if isinstance(layer, nn.Conv2d)}
        if other := wanted ^ self.convolutions.keys():
            raise RunError(f"{self.path} holds another trunk: it differs in {sorted(other)[0]}")
        state: dict[str, Tensor] = {}
        for (name, layer), (after, norm) in zip(layers, [*layers[1:], ("", None)], strict=True):
            if not isinstance(layer, nn.Conv2d):
                continue
            kernel, bias = self.convolutions[name]
            colours = layer.in_channels // layer.groups
            if kernel.shape[1] == 1 < colours:  # the export summed it over the equal channels
                kernel = kernel.repeat(colours, axis=1) / np.float32(colours)
            state[f"{name}.weight"] = torch.tensor(kernel)
            if isinstance(norm, nn.BatchNorm2d):
                state |= _adding_norm(after, bias, norm.eps)
                bias = np.zeros_like(bias)
            if layer.bias is not None:
                state[f"{name}.bias"] = torch.tensor(bias)
        return state


def stored(path: Path) -> Stored:
    """Read the weights of a model file.

    Raises:
        ModelError: it is damaged, or not a voxedge model.
        MissingExtra: the onnx package is not installed.
    """
    recipe = read_model(path).metadata.training.get("recipe", {})
    with needs_extra("export"):
        import onnx
    return read_graph(path, recipe, onnx.load(path).graph)


def read_graph(path: Path, recipe: dict[str, Any], graph: GraphProto) -> Stored:
    """Read the weights of a graph; ``path`` and ``recipe`` as for ``Stored``."""
    constants = _Constants(graph)
    statistics: dict[str, Array] = {}
    for node in graph.node:
        own = [name for name in node.input if name.startswith(STATISTICS)]
        if own and node.op_type == "BatchNormalization":
            inputs = zip(_NORM, node.input[1:], strict=True)
            statistics |= {f"norm.{key}": constants.value(name) for key, name in inputs}
            statistics["norm.num_batches_tracked"] = np.zeros((), np.int64)
        elif own and node.op_type == "Gemm" and f"{STATISTICS}linear.bias" in own:
            statistics["linear.weight"] = constants.value(node.input[1])
            statistics["linear.bias"] = constants.value(node.input[2])
    return Stored(path, recipe, dict(_convolutions(graph, constants)), statistics)


class _Constants:
    """The constants of a graph, computed if they are stored in lower precision."""

    def __init__(self, graph: GraphProto) -> None:
        from onnx import numpy_helper

        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        self._producers = {name: node for node in graph.node for name in node.output}
        self._to_array = numpy_helper.to_array

    def value(self, name: str) -> Array:
        """Return a constant as float32."""
        if name in self._initializers:
            array: Array = self._to_array(self._initializers[name]).astype(np.float32)
            return array
        node = self._producers[name]
        first, *others = map(self.value, node.input)
        if node.op_type == "Cast":
            return first
        if node.op_type == "Mul":
            return first * others[0]
        scale, zero_point = others  # of DequantizeLinear, along the first axis
        shape = (-1,) + (1,) * (first.ndim - 1)
        return (first - zero_point.reshape(shape)) * scale.reshape(shape)


def _convolutions(
    graph: GraphProto, constants: _Constants
) -> Iterator[tuple[str, tuple[Array, Array]]]:
    """The trunk's convolutions: name of the module, kernel and bias."""
    for node in graph.node:
        if node.op_type == "Conv" and node.input[1].startswith(TRUNK):
            kernel = constants.value(node.input[1])
            bias = np.zeros(len(kernel), np.float32)
            if len(node.input) > 2:
                bias = constants.value(node.input[2])
            yield node.input[1].removeprefix(TRUNK).split(".weight")[0], (kernel, bias)


def _adding_norm(name: str, bias: Array, epsilon: float) -> dict[str, Tensor]:
    """The state of a batch norm that only adds a bias: mean 0, and variance + epsilon 1."""
    shift = torch.tensor(bias)
    return {
        f"{name}.weight": torch.ones_like(shift),
        f"{name}.bias": shift,
        f"{name}.running_mean": torch.zeros_like(shift),
        f"{name}.running_var": torch.full_like(shift, 1 - epsilon),
        f"{name}.num_batches_tracked": torch.tensor(0),
    }
