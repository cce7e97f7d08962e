"""Constants of a graph: an ``onnx_ir`` initialiser is a value, its tensor, and an entry by name."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

Array: TypeAlias = npt.NDArray[Any]


def new_initializer(graph: ir.Graph, name: str, array: Array) -> ir.Value:
    """Register an array as a constant of the graph."""
    tensor = ir.tensor(array, name=name)
    value = ir.Value(
        name=name,
        type=ir.TensorType(tensor.dtype),
        shape=ir.Shape(array.shape),
        const_value=tensor,
    )
    graph.register_initializer(value)
    return value


def constant_array(value: ir.Value | None) -> Array:
    """The array of a constant."""
    assert value is not None
    assert value.const_value is not None
    array: Array = np.asarray(value.const_value.numpy())
    return array
