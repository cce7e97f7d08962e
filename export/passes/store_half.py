"""Large matrices behind the trunk are kept in float16 in the file, and read back as float32.

They are the head's and the statistics' and, next to a trunk in 8 bits, a tenth of the file. The
runtime folds the cast when it loads, so that nothing is slower.

1. A float32 matrix of the head or the statistics, W, becomes Cast(float16 W, float32).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from voxedge.export.passes.quantise import new_initializer

_OWNERS = ("net.head.", "net.bypass.")  # the front end's keep all digits
_LARGE = 1 << 14  # entries


def store_half(model: ir.Model) -> bool:
    """Apply rule 1; whether anything changed."""
    graph, changed = model.graph, False
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.dtype != ir.DataType.FLOAT or tensor.size < _LARGE:
            continue
        users = list(value.uses())
        if not name.startswith(_OWNERS) or not users:
            continue
        half = new_initializer(graph, f"{name}_float16", tensor.numpy().astype(np.float16))
        cast = ir.node("Cast", [half], {"to": int(ir.DataType.FLOAT)})
        cast.outputs[0].name = f"{name}_float32"
        graph.insert_before(graph[0], cast)
        for user in users:
            user.node.replace_input_with(user.idx, cast.outputs[0])
        changed = True
    return changed
