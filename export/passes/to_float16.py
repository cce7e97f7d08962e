"""Convert the trunk's convolutions to float16; front end, pooling and head stay in float32.

The logarithm's floor of 1e-6 is subnormal in float16, and a sum over the image may exceed its
range; both are cheap to compute in float32. In graph order:

1. A layer (see ``quantise``) reads float16 x, W and b.
2. ``Relu``, ``MaxPool`` and ``Add`` of float16 values stay in float16.
3. Every other reader of a float16 value gets it cast to float32.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_ir as ir
from voxedge.export.passes.constants import constant_array, new_initializer
from voxedge.export.passes.quantise import layers

_KEEP_FLOAT16 = ("Relu", "MaxPool", "Add")
_FLOAT16, _FLOAT32 = int(ir.DataType.FLOAT16), int(ir.DataType.FLOAT)


def to_float16(model: ir.Model, in_float: Collection[str] = ()) -> bool:
    """Apply rules 1 to 3, except to the layers ``in_float``; returns whether anything changed."""
    graph = model.graph
    chosen = {node for name, node in layers(model).items() if name not in in_float}
    halves: dict[ir.Value, ir.Value] = {}  # float32 value -> the float16 value it is equal to
    for node in list(graph) if chosen else ():
        if node in chosen:
            _convert_layer(graph, node, halves)
        elif node.op_type in _KEEP_FLOAT16 and all(value in halves for value in node.inputs):
            for place, value in enumerate(node.inputs):
                node.replace_input_with(place, halves[value])  # type: ignore[index]
        else:
            continue
        (result,) = node.outputs
        readers = list(result.uses())
        cast = _cast(result, _FLOAT32)
        (as_float32,) = cast.outputs
        graph.insert_after(node, cast)
        for reader in readers:
            reader.node.replace_input_with(reader.idx, as_float32)
        halves[as_float32] = result
    return bool(chosen)


def _convert_layer(graph: ir.Graph, conv: ir.Node, halves: dict[ir.Value, ir.Value]) -> None:
    """Rule 1; an image that is not in float16 yet is cast and added to ``halves``."""
    for place, value in enumerate(conv.inputs[1:], 1):
        assert value is not None
        with np.errstate(over="ignore"):  # weights that overflow to infinity fail the accuracy gate
            weights = constant_array(value).astype(np.float16)
        conv.replace_input_with(place, new_initializer(graph, f"{value.name}_float16", weights))
    image = conv.inputs[0]
    assert image is not None
    if image not in halves:
        cast = _cast(image, _FLOAT16)
        graph.insert_before(conv, cast)
        halves[image] = cast.outputs[0]
    conv.replace_input_with(0, halves[image])


def _cast(value: ir.Value, to: int) -> ir.Node:
    node = ir.node("Cast", [value], {"to": to})
    node.outputs[0].name = f"{value.name}_{'float16' if to == _FLOAT16 else 'float32'}"
    return node
