"""Three equal input channels -> one: the trunk's first convolution takes the image as it is.

The trunk is a colour network, fed the same image three times. A convolution over equal channels is
a convolution over one of them with the kernel summed over its input channels, so

1. ``Conv(Concat(x, x, ..., x; axis=1), W)`` with constant W, group 1, x of one channel
   -> ``Conv(x, sum of W over its input channels)``.

It saves two thirds of the first convolution and the copy in front of it.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir


def fold_channel_repeat(model: ir.Model) -> bool:
    """Apply rule 1 wherever it holds; whether anything changed."""
    changed = False
    graph = model.graph
    for conv in list(graph):
        if conv.op_type != "Conv" or conv.domain != "":
            continue
        repeated, weight = conv.inputs[0], conv.inputs[1]
        if repeated is None or weight is None or weight.const_value is None:
            continue
        image = _repeated_value(repeated)
        group = conv.attributes.get_int("group", 1)
        kernel = weight.const_value.numpy()
        if image is None or group != 1 or not _one_channel(image):
            continue
        summed = kernel.astype(np.float64).sum(axis=1, keepdims=True).astype(kernel.dtype)
        name = f"{weight.name}_summed"
        folded = ir.Value(
            name=name,
            type=weight.type,
            shape=ir.Shape(summed.shape),
            const_value=ir.tensor(summed, name=name),
        )
        graph.register_initializer(folded)
        conv.replace_input_with(0, image)
        conv.replace_input_with(1, folded)
        changed = True
    return changed


def _repeated_value(value: ir.Value) -> ir.Value | None:
    """x, if the value is Concat(x, ..., x) along the channels."""
    concat = value.producer()
    if concat is None or concat.op_type != "Concat" or concat.attributes.get_int("axis", 0) != 1:
        return None
    first = concat.inputs[0]
    same = all(item is first for item in concat.inputs)
    return first if same and len(concat.inputs) > 1 else None


def _one_channel(value: ir.Value) -> bool:
    return value.shape is not None and len(value.shape) == 4 and value.shape[1] == 1
