"""Quantise the trunk's convolutions to int8, written as QuantizeLinear/DequantizeLinear pairs.

The runtime fuses such pairs into integer kernels (Jacob et al. 2018, sec. 2); one without those
kernels computes the same in float. Activations are uint8 with a zero point. Weights are int8,
symmetric, with one scale per output channel, and use 7 of their 8 bits: x86 without VNNI adds two
products in 16 bits, where 2 * 255 * 127 overflows and 2 * 255 * 64 does not.

A layer is a convolution over an image, or any of a folded network, named after its weight. The
front end's convolutions run over time and stay in float, as do pooling and the head. In graph
order:

1. A layer reads uint8 x, int8 W and int32 b; its output, after a following Relu, becomes uint8.
2. ``MaxPool(x)`` of uint8 x gives uint8 with the scale and zero point of x.
3. ``Add(x, y)`` of uint8 x and y gives uint8, after a following Relu.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
import onnx_ir as ir
from voxedge.export.passes.constants import Array, constant_array, new_initializer

Range: TypeAlias = tuple[float, float]  # smallest and largest value of a tensor

#: How the names of what stands behind a folded front end begin.
NETWORK = "network/"

_WEIGHT_LIMIT = 64  # 7 bits
_BIAS_LIMIT = 2.0**30  # half the range of int32
_MIN_SCALE = 1e-12  # for a channel of zeros


class _Parameters(NamedTuple):
    """Quantisation parameters: real value = scale * (integer - zero_point)."""

    scale: ir.Value
    zero_point: ir.Value


def layers(model: ir.Model) -> dict[str, ir.Node]:
    """The float32 convolutions over images, or of a folded network, by name, in graph order."""
    found: dict[str, ir.Node] = {}
    for node in model.graph:
        weight = node.inputs[1] if node.op_type == "Conv" else None
        tensor = weight.const_value if weight is not None else None
        if weight is None or tensor is None or tensor.dtype != ir.DataType.FLOAT:
            continue
        if len(tensor.shape) == 4 or str(weight.name).startswith(NETWORK):
            found[str(weight.name).split(".weight")[0]] = node
    return found


def activations(model: ir.Model) -> list[str]:
    """Names of the tensors whose ranges ``quantise`` needs."""
    names: dict[str, None] = {}
    for node in layers(model).values():
        result = _after_relu(node)
        sums = [_after_relu(use.node) for use in result.uses() if use.node.op_type == "Add"]
        names |= dict.fromkeys(str(value.name) for value in (_input(node), result, *sums))
    return list(names)


def quantise(model: ir.Model, ranges: Mapping[str, Range], in_float: Collection[str] = ()) -> bool:
    """Apply rules 1 to 3, except to the layers ``in_float``; returns whether anything changed."""
    graph = model.graph
    chosen = {node for name, node in layers(model).items() if name not in in_float}
    quantised: dict[ir.Value, ir.Value] = {}  # float value -> its quantised and dequantised copy
    for node in list(graph) if chosen else ():
        if node in chosen:
            image = _input(node)
            if _parameters_of(image) is None:  # a block's first layer and its bypass may share it
                if image not in quantised:
                    parameters = _new_parameters(graph, image, ranges)
                    quantised[image] = _insert_pair(graph, image, parameters)
                node.replace_input_with(0, quantised[image])
            _quantise_constants(graph, node)
        elif node.op_type not in ("MaxPool", "Add") or None in map(_parameters_of, node.inputs):
            continue
        result = _after_relu(node)
        inherited = _parameters_of(_input(node)) if node.op_type == "MaxPool" else None
        readers = list(result.uses())
        rounded = _insert_pair(graph, result, inherited or _new_parameters(graph, result, ranges))
        for reader in readers:
            reader.node.replace_input_with(reader.idx, rounded)
    return bool(chosen)


def _input(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    assert value is not None
    return value


def _after_relu(node: ir.Node) -> ir.Value:
    """The node's output, or that of the Relu behind it if nothing else reads the former."""
    (value,) = node.outputs
    uses = list(value.uses())
    if len(uses) == 1 and uses[0].node.op_type == "Relu":
        return uses[0].node.outputs[0]
    return value


def _parameters_of(value: ir.Value | None) -> _Parameters | None:
    """The parameters of a dequantised value; None for any other value."""
    node = value.producer() if value is not None else None
    if node is None or node.op_type != "DequantizeLinear":
        return None
    _, scale, zero_point = node.inputs
    assert scale is not None
    assert zero_point is not None
    return _Parameters(scale, zero_point)


def _new_parameters(graph: ir.Graph, value: ir.Value, ranges: Mapping[str, Range]) -> _Parameters:
    """uint8 parameters for the value's range, widened to 0: padding and Relu give exact zeros."""
    low, high = ranges[str(value.name)]
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255 or 1.0
    # Round up to four digits, so that float rounding on another machine gives the same file.
    digit = 10.0 ** (math.floor(math.log10(scale)) - 3)
    scale = math.ceil(scale / digit) * digit
    zero_point = np.uint8(min(round(-low / scale), 255))
    return _Parameters(
        new_initializer(graph, f"{value.name}_scale", np.array(scale, np.float32)),
        new_initializer(graph, f"{value.name}_zero_point", np.array(zero_point)),
    )


def _insert_pair(graph: ir.Graph, value: ir.Value, parameters: _Parameters) -> ir.Value:
    """Quantise and dequantise the value right after it is computed; returns the result."""
    producer = value.producer()
    assert producer is not None
    quantise = ir.node("QuantizeLinear", [value, *parameters])
    dequantise = ir.node("DequantizeLinear", [quantise.outputs[0], *parameters])
    quantise.outputs[0].name = f"{value.name}_uint8"
    dequantise.outputs[0].name = f"{value.name}_rounded"
    graph.insert_after(producer, [quantise, dequantise])
    return dequantise.outputs[0]


def _quantise_constants(graph: ir.Graph, conv: ir.Node) -> None:
    """Weights and bias of a convolution whose input is quantised already."""
    parameters = _parameters_of(_input(conv))
    assert parameters is not None
    input_scale = float(constant_array(parameters.scale))
    weight, bias = conv.inputs[1], conv.inputs[2] if len(conv.inputs) > 2 else None
    values = constant_array(weight)
    scales = np.abs(values).max(axis=tuple(range(1, values.ndim))) / _WEIGHT_LIMIT
    if bias is not None:  # with weights near 0, the bias in units of scale would overflow int32
        scales = np.maximum(scales, np.abs(constant_array(bias)) / (input_scale * _BIAS_LIMIT))
    scales = np.maximum(scales, _MIN_SCALE).astype(np.float32)
    by_channel = scales.reshape(-1, *[1] * (values.ndim - 1))
    integers = np.rint(values / by_channel).astype(np.int8)
    _replace_constant(graph, conv, 1, integers, scales)
    if bias is not None:
        scales = scales * np.float32(input_scale)
        integers = np.rint(constant_array(bias) / scales.astype(np.float64)).astype(np.int32)
        _replace_constant(graph, conv, 2, integers, scales)


def _replace_constant(
    graph: ir.Graph, conv: ir.Node, place: int, integers: Array, scales: Array
) -> None:
    """Let input ``place`` of a convolution read dequantised integers, one scale per channel."""
    old = conv.inputs[place]
    assert old is not None
    inputs = [
        new_initializer(graph, f"{old.name}_{integers.dtype}", integers),
        new_initializer(graph, f"{old.name}_scale", scales),
        new_initializer(graph, f"{old.name}_zero_point", np.zeros(len(scales), integers.dtype)),
    ]
    node = ir.node("DequantizeLinear", inputs, {"axis": 0})
    node.outputs[0].name = f"{old.name}_rounded"
    graph.insert_before(conv, node)
    conv.replace_input_with(place, node.outputs[0])
