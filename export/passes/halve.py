"""The trunk's convolutions in float16; front end, mean over the image, and head stay in float32.

The logarithm's floor of 1e-6 is below what float16 tells from 0, and a mean over the image sums
what may leave its range; neither costs anything that matters. In order of the graph,

1. a layer (see ``quantise``) reads float16 x, W and b;
2. ``Relu``, ``MaxPool`` and ``Add`` of float16 values stay in float16;
3. whatever else reads such a value gets it cast to float32.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx_ir as ir
from voxedge.export.passes.quantise import layers, new_initializer

_FOLLOW = ("Relu", "MaxPool", "Add")
_HALF, _FLOAT = int(ir.DataType.FLOAT16), int(ir.DataType.FLOAT)


def halve(model: ir.Model, in_float: Collection[str] = ()) -> bool:
    """Apply rules 1 to 3, but not to the layers ``in_float``; whether anything changed."""
    graph = model.graph
    chosen = {node for name, node in layers(model).items() if name not in in_float}
    halves: dict[ir.Value, ir.Value] = {}  # float32 value -> the float16 one that it is cast from
    for node in list(graph) if chosen else ():
        if node in chosen:
            for place, value in enumerate(node.inputs[1:], 1):
                assert value is not None
                assert value.const_value is not None
                with np.errstate(over="ignore"):  # infinity is for the gate to see
                    weights = value.const_value.numpy().astype(np.float16)
                half = new_initializer(graph, f"{value.name}_float16", weights)
                node.replace_input_with(place, half)
            image = node.inputs[0]
            assert image is not None
            if image not in halves:
                cast = _cast(image, _HALF)
                graph.insert_before(node, cast)
                halves[image] = cast.outputs[0]
            node.replace_input_with(0, halves[image])
        elif node.op_type in _FOLLOW and all(value in halves for value in node.inputs):
            for place, value in enumerate(node.inputs):
                node.replace_input_with(place, halves[value])  # type: ignore[index]
        else:
            continue
        (result,) = node.outputs
        users = list(result.uses())
        cast = _cast(result, _FLOAT)
        (back,) = cast.outputs
        graph.insert_after(node, cast)
        for user in users:
            user.node.replace_input_with(user.idx, back)
        halves[back] = result
    return bool(chosen)


def _cast(value: ir.Value, to: int) -> ir.Node:
    node = ir.node("Cast", [value], {"to": to})
    node.outputs[0].name = f"{value.name}_{'float16' if to == _HALF else 'float32'}"
    return node
