"""Store large constants in fewer bytes and let the runtime rebuild them at load.

Beside an int8 trunk the other constants dominate the file. The runtime folds these nodes into
constants when it loads the file, so inference is no slower.

1. A large float32 matrix W of the head, the bypass or the discriminants, or behind a trunk's
   pooling, becomes ``Cast(float16 W, float32)``.
2. In an int8 file it becomes ``Mul(Cast(int8 W, float32), s)``, with one scale per row.
3. The stored numbers 0, 1, 2, ..., N - 1 become ``Range(0, N, 1)``.
4. A large integer table that is a sum of one vector per axis (t[i, j, ...] = a[i] + b[j] + ...)
   becomes ``Add(Add(a, b), ...)``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from voxedge.export.passes.constants import constant_array, new_initializer

# Modules whose matrices tolerate rounding; the front end keeps full precision.
_ROUNDED = ("net.head.", "net.bypass.", "net.discriminant.", "net.trunk.fc.", "trunk.fc.")
_LARGE = 1 << 14  # elements
_MIN_SCALE = 1e-12  # for a row of zeros


def compress_constants(model: ir.Model, int8: bool = False) -> bool:
    """Apply rules 1, 3 and 4, or with ``int8`` rules 2 to 4; returns whether anything changed."""
    graph, changed = model.graph, False
    for name, value in list(graph.initializers.items()):
        tensor, readers = value.const_value, list(value.uses())
        if tensor is None or tensor.size < _LARGE or not readers:
            continue
        nodes: Sequence[ir.Node] = ()
        if tensor.dtype == ir.DataType.FLOAT and name.startswith(_ROUNDED):
            nodes = _round_matrix(graph, name, constant_array(value), int8)
        elif tensor.dtype in (ir.DataType.INT32, ir.DataType.INT64):
            nodes = _generate_integers(graph, name, constant_array(value))
        if not nodes:
            continue
        rebuilt = nodes[-1].outputs[0]
        rebuilt.name = f"{name}_loaded"
        graph.insert_before(graph[0], nodes)
        for reader in readers:
            reader.node.replace_input_with(reader.idx, rebuilt)
        changed = True
    return changed


def _round_matrix(
    graph: ir.Graph, name: str, matrix: npt.NDArray[np.float32], int8: bool
) -> list[ir.Node]:
    """The nodes of rule 1 or 2."""
    stored: npt.NDArray[np.generic] = matrix.astype(np.float16)
    if int8:
        scale = np.abs(matrix).max(axis=1, keepdims=True).clip(min=_MIN_SCALE) / 127
        stored = np.round(matrix / scale).astype(np.int8)
    constant = new_initializer(graph, f"{name}_{stored.dtype}", stored)
    nodes = [ir.node("Cast", [constant], {"to": int(ir.DataType.FLOAT)})]
    if int8:
        nodes[0].outputs[0].name = f"{name}_cast"
        factor = new_initializer(graph, f"{name}_scale", scale)
        nodes.append(ir.node("Mul", [nodes[0].outputs[0], factor]))
    return nodes


def _generate_integers(graph: ir.Graph, name: str, table: npt.NDArray[np.integer]) -> list[ir.Node]:
    """The nodes of rule 3 or 4; none if the table is not of either form."""
    if table.ndim == 1:
        if not np.array_equal(table, np.arange(table.size)):
            return []
        bounds = {"start": 0, "limit": table.size, "step": 1}
        return [
            ir.node(
                "Range",
                [
                    new_initializer(graph, f"{name}_{bound}", np.array(at, table.dtype))
                    for bound, at in bounds.items()
                ],
            )
        ]
    vectors = _vectors_per_axis(table)
    if not np.array_equal(table, sum(vectors)):
        return []
    total, *others = (
        new_initializer(graph, f"{name}_{axis}", vector) for axis, vector in enumerate(vectors)
    )
    nodes: list[ir.Node] = []
    for axis, vector in enumerate(others, 1):
        nodes.append(ir.node("Add", [total, vector]))
        total = nodes[-1].outputs[0]
        total.name = f"{name}_to_{axis}"
    return nodes


def _vectors_per_axis(table: npt.NDArray[np.integer]) -> list[npt.NDArray[np.integer]]:
    """One array per axis, whose broadcast sum is the table if any such arrays exist.

    They are the table along each axis through its first element, which only axis 0 includes.
    """
    origin = (slice(0, 1),) * table.ndim
    return [
        table[(*origin[:axis], slice(None), *origin[axis + 1 :])] - (table[origin] if axis else 0)
        for axis in range(table.ndim)
    ]
