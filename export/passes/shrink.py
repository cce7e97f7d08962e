"""What the runtime can work out when it loads a file need not be in it.

Next to a trunk in 8 bits the rest counts. The runtime folds all rules away again, so that nothing
is slower.

1. A large float32 matrix of the head or the statistics, W, becomes Cast(float16 W, float32).
2. One of a discriminant, which is large and has logits of its own to spare, may become
   Mul(Cast(int8 W, float32), s) with a scale for each row.
3. The numbers 0, 1, 2, ..., N - 1, where they stand written out, become Range(0, N, 1).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from voxedge.export.passes.quantise import new_initializer

_DISCRIMINANT = "net.discriminant."
_BEHIND = ("net.head.", "net.bypass.", _DISCRIMINANT)  # the front end keeps all digits
_LARGE = 1 << 14  # entries
_SMALLEST = 1e-12  # a row of zeros


def shrink(model: ir.Model, eight_bits: bool = False) -> bool:
    """Apply rules 1 and 3, and rule 2 if ``eight_bits``; whether anything changed."""
    graph, changed = model.graph, False
    for name, value in list(graph.initializers.items()):
        tensor, users = value.const_value, list(value.uses())
        if tensor is None or tensor.size < _LARGE or not users:
            continue
        scale = None
        if tensor.dtype == ir.DataType.FLOAT and name.startswith(_BEHIND):
            stored = tensor.numpy()
            if eight_bits and name.startswith(_DISCRIMINANT):
                scale = np.abs(stored).max(axis=1, keepdims=True).clip(min=_SMALLEST) / 127
                stored = np.round(stored / scale).astype(np.int8)
            else:
                stored = stored.astype(np.float16)
            kept = new_initializer(graph, f"{name}_{stored.dtype}", stored)
            node = ir.node("Cast", [kept], {"to": int(ir.DataType.FLOAT)})
        elif len(tensor.shape) == 1 and np.array_equal(numbers := tensor.numpy(), _counted(tensor)):
            ends = {"start": 0, "limit": len(numbers), "step": 1}
            node = ir.node(
                "Range",
                [
                    new_initializer(graph, f"{name}_{end}", np.array(at, numbers.dtype))
                    for end, at in ends.items()
                ],
            )
        else:
            continue
        nodes = [node]
        if scale is not None:
            node.outputs[0].name = f"{name}_cast"
            factor = new_initializer(graph, f"{name}_scale", scale)
            nodes.append(ir.node("Mul", [node.outputs[0], factor]))
        loaded = nodes[-1].outputs[0]
        loaded.name = f"{name}_loaded"
        graph.insert_before(graph[0], nodes)
        for user in users:
            user.node.replace_input_with(user.idx, loaded)
        changed = True
    return changed


def _counted(tensor: ir.TensorProtocol) -> np.ndarray:
    return np.arange(tensor.size, dtype=tensor.numpy().dtype)
