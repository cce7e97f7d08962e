"""What the runtime can work out when it loads a file need not be in it.

Next to a trunk in 8 bits the rest counts. The runtime folds all rules away again, so that nothing
is slower.

1. A large float32 matrix of the heads or the statistics, W, becomes Cast(float16 W, float32);
2. beside a trunk in 8 bits Mul(Cast(int8 W, float32), s) with a scale for each row.
3. The numbers 0, 1, 2, ..., N - 1, where they stand written out, become Range(0, N, 1);
4. a large table of integers, each the sum of a number for its row, one for its column, and so on,
   becomes Add(Add(rows, columns), ...).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from voxedge.export.passes.quantise import new_initializer

_BEHIND = ("net.head.", "net.bypass.", "net.discriminant.")  # the front end keeps all digits
_LARGE = 1 << 14  # entries
_SMALLEST = 1e-12  # a row of zeros


def shrink(model: ir.Model, eight_bits: bool = False) -> bool:
    """Apply rules 1, 3 and 4, and with ``eight_bits`` rule 2 for 1; whether anything changed."""
    graph, changed = model.graph, False
    for name, value in list(graph.initializers.items()):
        tensor, users = value.const_value, list(value.uses())
        if tensor is None or tensor.size < _LARGE or not users:
            continue
        nodes: Sequence[ir.Node] = ()
        if tensor.dtype == ir.DataType.FLOAT and name.startswith(_BEHIND):
            nodes = _in_few_bits(graph, name, tensor.numpy(), eight_bits)
        elif tensor.dtype in (ir.DataType.INT32, ir.DataType.INT64):
            nodes = _worked_out(graph, name, tensor.numpy())
        if not nodes:
            continue
        loaded = nodes[-1].outputs[0]
        loaded.name = f"{name}_loaded"
        graph.insert_before(graph[0], nodes)
        for user in users:
            user.node.replace_input_with(user.idx, loaded)
        changed = True
    return changed


def _in_few_bits(
    graph: ir.Graph, name: str, matrix: npt.NDArray[np.float32], eight_bits: bool
) -> list[ir.Node]:
    """Rule 1 or 2."""
    stored: npt.NDArray[np.generic] = matrix.astype(np.float16)
    if eight_bits:
        scale = np.abs(matrix).max(axis=1, keepdims=True).clip(min=_SMALLEST) / 127
        stored = np.round(matrix / scale).astype(np.int8)
    kept = new_initializer(graph, f"{name}_{stored.dtype}", stored)
    nodes = [ir.node("Cast", [kept], {"to": int(ir.DataType.FLOAT)})]
    if eight_bits:
        nodes[0].outputs[0].name = f"{name}_cast"
        factor = new_initializer(graph, f"{name}_scale", scale)
        nodes.append(ir.node("Mul", [nodes[0].outputs[0], factor]))
    return nodes


def _worked_out(graph: ir.Graph, name: str, numbers: npt.NDArray[np.integer]) -> list[ir.Node]:
    """Rule 3 or 4, if one of them holds."""
    if numbers.ndim == 1:
        if not np.array_equal(numbers, np.arange(numbers.size)):
            return []
        ends = {"start": 0, "limit": numbers.size, "step": 1}
        bounds = [
            new_initializer(graph, f"{name}_{end}", np.array(at, numbers.dtype))
            for end, at in ends.items()
        ]
        return [ir.node("Range", bounds)]
    first = (slice(0, 1),) * numbers.ndim
    parts = [
        numbers[(*first[:axis], slice(None), *first[axis + 1 :])] - (numbers[first] if axis else 0)
        for axis in range(numbers.ndim)
    ]
    if not np.array_equal(numbers, sum(parts)):
        return []
    total, *others = (
        new_initializer(graph, f"{name}_{axis}", part) for axis, part in enumerate(parts)
    )
    nodes: list[ir.Node] = []
    for axis, part in enumerate(others, 1):
        nodes.append(ir.node("Add", [total, part]))
        total = nodes[-1].outputs[0]
        total.name = f"{name}_to_{axis}"
    return nodes
