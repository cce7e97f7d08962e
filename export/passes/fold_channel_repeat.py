"""Fold three equal input channels into one: the trunk's first convolution takes the image itself.

The trunk is a network for colour images and gets the same image in each channel. A convolution
over equal channels equals one over a single channel with the kernel summed over input channels:

1. ``Conv(Concat(x, x, ..., x; axis=1), W)`` with constant W, group 1, x of one channel
   -> ``Conv(x, sum of W over its input channels)``.

This saves two thirds of the first convolution and the copy in front of it.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from voxedge.export.passes.constants import constant_array, new_initializer


def fold_channel_repeat(model: ir.Model) -> bool:
    """Apply rule 1 wherever it matches; returns whether anything changed."""
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
        if image is None or group != 1 or not _has_one_channel(image):
            continue
        kernel = constant_array(weight)
        summed = kernel.astype(np.float64).sum(axis=1, keepdims=True).astype(kernel.dtype)
        conv.replace_input_with(0, image)
        conv.replace_input_with(1, new_initializer(graph, f"{weight.name}_summed", summed))
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


def _has_one_channel(value: ir.Value) -> bool:
    return value.shape is not None and len(value.shape) == 4 and value.shape[1] == 1
