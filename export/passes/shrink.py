"""What the runtime can work out when it loads a file need not be in it.

Next to a trunk in 8 bits the rest counts. The runtime folds both rules away again, so that nothing
is slower.

1. A large float32 matrix of the head or the statistics, W, becomes Cast(float16 W, float32).
2. The numbers 0, 1, 2, ..., N - 1, where they stand written out, become Range(0, N, 1).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from voxedge.export.passes.quantise import new_initializer

_BEHIND = ("net.head.", "net.bypass.", "net.discriminant.")  # the front end keeps all digits
_LARGE = 1 << 14  # entries


def shrink(model: ir.Model) -> bool:
    """Apply rules 1 and 2; whether anything changed."""
    graph, changed = model.graph, False
    for name, value in list(graph.initializers.items()):
        tensor, users = value.const_value, list(value.uses())
        if tensor is None or tensor.size < _LARGE or not users:
            continue
        if tensor.dtype == ir.DataType.FLOAT and name.startswith(_BEHIND):
            half = new_initializer(graph, f"{name}_float16", tensor.numpy().astype(np.float16))
            node = ir.node("Cast", [half], {"to": int(ir.DataType.FLOAT)})
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
        node.outputs[0].name = f"{name}_loaded"
        graph.insert_before(graph[0], node)
        for user in users:
            user.node.replace_input_with(user.idx, node.outputs[0])
        changed = True
    return changed


def _counted(tensor: ir.TensorProtocol) -> np.ndarray:
    return np.arange(tensor.size, dtype=tensor.numpy().dtype)
