"""Keep indices in 32 bits where they are computed in 32 bits.

PyTorch's exporter casts every index to int64, although the ONNX operators take int32 as well:

1. ``Gather(x, Cast(i, int64))`` and ``GatherElements`` of an int32 i read i itself.
"""

from __future__ import annotations

import onnx_ir as ir


def narrow_indices(model: ir.Model) -> bool:
    """Apply rule 1 wherever it matches; returns whether anything changed."""
    changed = False
    for node in model.graph:
        if node.op_type not in ("Gather", "GatherElements"):
            continue
        index = node.inputs[1]
        cast = index.producer() if index is not None else None
        if cast is None or cast.op_type != "Cast":
            continue
        source = cast.inputs[0]
        if source is not None and source.dtype == ir.DataType.INT32:
            node.replace_input_with(1, source)
            changed = True
    return changed
