"""Give the ``lengths`` input a default, so that a caller may feed ``pcm`` alone.

The graph is traced with ``lengths`` of shape [1], which broadcasts over the batch:

1. The input's shape becomes [batch]: one length per row broadcasts just as well.
2. An initialiser of the same name, [2^63 - 1], makes the input optional; with it every sample is
   valid, since the graph limits lengths to the samples there are.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

_ALL_SAMPLES = np.array([np.iinfo(np.int64).max])


def make_lengths_optional(model: ir.Model) -> bool:
    """Apply rules 1 and 2 to an input ``lengths`` without a default; returns whether it did."""
    graph = model.graph
    lengths = next((value for value in graph.inputs if value.name == "lengths"), None)
    pcm = next((value for value in graph.inputs if value.name == "pcm"), None)
    if lengths is None or pcm is None or pcm.shape is None or "lengths" in graph.initializers:
        return False
    lengths.shape = ir.Shape([pcm.shape[0]])
    lengths.const_value = ir.tensor(_ALL_SAMPLES, name="lengths")
    graph.register_initializer(lengths)
    return True
