"""The trunk's convolutions in 8-bit integers, written as QuantizeLinear/DequantizeLinear pairs.

The runtime fuses such pairs into integer kernels (Jacob et al. 2018, sec. 2); one that has none
computes the same in float. Activations are uint8 with a zero point, weights int8, symmetric, one
scale for each output channel. Weights use 7 of their 8 bits: x86 without VNNI adds two products in
16 bits, which 2 * 255 * 127 overflows and 2 * 255 * 64 does not, so the file is right everywhere.

A layer is a convolution over an image, named by its weight; those of the front end are over time
and stay in float, as do the mean over the image and the head. In order of the graph,

1. a layer reads uint8 x, int8 W and int32 b; its output, after a following Relu, becomes uint8;
2. ``MaxPool(x)`` of uint8 x gives uint8 of the same grid;
3. ``Add(x, y)`` of uint8 x and y gives uint8, after a following Relu.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

Range = tuple[float, float]  # smallest and largest value of a tensor
Array = npt.NDArray[Any]
Grid = tuple[ir.Value, ir.Value]  # scale and zero point

_WEIGHT_LIMIT = 64  # 7 bits
_BIAS_LIMIT = 2.0**30  # half the range of int32
_SMALLEST = 1e-12  # scale of a channel of zeros


def layers(model: ir.Model) -> dict[str, ir.Node]:
    """The float convolutions over images by name, in order of the graph."""
    found: dict[str, ir.Node] = {}
    for node in model.graph:
        weight = node.inputs[1] if node.op_type == "Conv" else None
        tensor = weight.const_value if weight is not None else None
        if weight is None or tensor is None or tensor.dtype != ir.DataType.FLOAT:
            continue
        if len(tensor.shape) == 4:
            found[str(weight.name).split(".weight")[0]] = node
    return found


def activations(model: ir.Model) -> list[str]:
    """The tensors whose ranges ``quantise`` asks for."""
    names: dict[str, None] = {}
    for node in layers(model).values():
        result = _activated(node)
        sums = [_activated(use.node) for use in result.uses() if use.node.op_type == "Add"]
        names |= dict.fromkeys(str(value.name) for value in (_input(node), result, *sums))
    return list(names)


def quantise(model: ir.Model, ranges: Mapping[str, Range], in_float: Collection[str] = ()) -> bool:
    """Apply rules 1 to 3, but not to the layers ``in_float``; whether anything changed."""
    graph = model.graph
    chosen = {node for name, node in layers(model).items() if name not in in_float}
    on_grid: dict[ir.Value, ir.Value] = {}
    for node in list(graph) if chosen else ():
        if node in chosen:
            image = _input(node)
            if _grid_of(image) is None:  # two layers may read it: a block's first, and its bypass
                if image not in on_grid:
                    on_grid[image] = _through(graph, image, _new_grid(graph, image, ranges))
                node.replace_input_with(0, on_grid[image])
            _quantise_constants(graph, node)
        elif node.op_type not in ("MaxPool", "Add") or None in map(_grid_of, node.inputs):
            continue
        result = _activated(node)
        grid = _grid_of(_input(node)) if node.op_type == "MaxPool" else None
        grid = grid or _new_grid(graph, result, ranges)
        users = list(result.uses())
        rounded = _through(graph, result, grid)
        for user in users:
            user.node.replace_input_with(user.idx, rounded)
    return bool(chosen)


def _input(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    assert value is not None
    return value


def _activated(node: ir.Node) -> ir.Value:
    """The node's output, after the Relu if that is all that reads it."""
    (value,) = node.outputs
    uses = list(value.uses())
    if len(uses) == 1 and uses[0].node.op_type == "Relu":
        return uses[0].node.outputs[0]
    return value


def _grid_of(value: ir.Value | None) -> Grid | None:
    """The grid that a dequantised value lies on."""
    node = value.producer() if value is not None else None
    if node is None or node.op_type != "DequantizeLinear":
        return None
    _, scale, zero = node.inputs
    assert scale is not None
    assert zero is not None
    return scale, zero


def _new_grid(graph: ir.Graph, value: ir.Value, ranges: Mapping[str, Range]) -> Grid:
    """256 steps over the value's range, widened to hold 0: padding and Relu give it exactly."""
    low, high = ranges[str(value.name)]
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / 255 or 1.0
    digit = 10.0 ** (math.floor(math.log10(step)) - 3)
    step = math.ceil(step / digit) * digit  # four digits: another machine's rounding is not seen
    zero = np.uint8(min(round(-low / step), 255))
    return (
        new_initializer(graph, f"{value.name}_scale", np.array(step, np.float32)),
        new_initializer(graph, f"{value.name}_zero_point", np.array(zero)),
    )


def _through(graph: ir.Graph, value: ir.Value, grid: Grid) -> ir.Value:
    """The value rounded to a grid, right after it is computed."""
    producer = value.producer()
    assert producer is not None
    into = ir.node("QuantizeLinear", [value, *grid])
    out = ir.node("DequantizeLinear", [into.outputs[0], *grid])
    into.outputs[0].name, out.outputs[0].name = f"{value.name}_uint8", f"{value.name}_rounded"
    graph.insert_after(producer, [into, out])
    return out.outputs[0]


def _quantise_constants(graph: ir.Graph, conv: ir.Node) -> None:
    """Weights and bias of a convolution whose input is already on a grid."""
    grid = _grid_of(_input(conv))
    assert grid is not None
    x_step = float(_numpy(grid[0]))
    weight, bias = conv.inputs[1], conv.inputs[2] if len(conv.inputs) > 2 else None
    values = _numpy(weight)
    steps = np.abs(values).max(axis=(1, 2, 3)) / _WEIGHT_LIMIT
    if bias is not None:  # weights next to zero must not drive their bias out of int32
        steps = np.maximum(steps, np.abs(_numpy(bias)) / (x_step * _BIAS_LIMIT))
    steps = np.maximum(steps, _SMALLEST).astype(np.float32)
    levels = np.rint(values / steps[:, None, None, None]).astype(np.int8)
    _replace_constant(graph, conv, 1, levels, steps)
    if bias is not None:
        steps = steps * np.float32(x_step)
        levels = np.rint(_numpy(bias) / steps.astype(np.float64)).astype(np.int32)
        _replace_constant(graph, conv, 2, levels, steps)


def _replace_constant(
    graph: ir.Graph, conv: ir.Node, place: int, levels: Array, steps: Array
) -> None:
    old = conv.inputs[place]
    assert old is not None
    inputs = [
        new_initializer(graph, f"{old.name}_{levels.dtype}", levels),
        new_initializer(graph, f"{old.name}_scale", steps),
        new_initializer(graph, f"{old.name}_zero_point", np.zeros(len(steps), levels.dtype)),
    ]
    node = ir.node("DequantizeLinear", inputs, {"axis": 0})
    node.outputs[0].name = f"{old.name}_rounded"
    graph.insert_before(conv, node)
    conv.replace_input_with(place, node.outputs[0])


def new_initializer(graph: ir.Graph, name: str, value: Array) -> ir.Value:
    """A constant of the graph."""
    tensor = ir.tensor(value, name=name)
    made = ir.Value(
        name=name,
        type=ir.TensorType(tensor.dtype),
        shape=ir.Shape(value.shape),
        const_value=tensor,
    )
    graph.register_initializer(made)
    return made


def _numpy(value: ir.Value | None) -> Array:
    assert value is not None
    assert value.const_value is not None
    array: Array = value.const_value.numpy()
    return array
