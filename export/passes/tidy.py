"""Remove what does not compute: dead nodes, unused initialisers, the exporter's annotations.

1. Nodes and initialisers that no output depends on are removed.
2. Documentation strings and per-node metadata are removed: they hold Python stack traces with
   paths of the training machine, so equal models would differ, and users would see those paths.
3. Shapes of intermediate values are removed: the runtime infers them, and those that depend on
   ``lengths`` are stale.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass


def tidy(model: ir.Model) -> bool:
    """Apply rules 1 to 3; returns whether anything changed."""
    changed = bool(RemoveUnusedNodesPass()(model).modified)
    graph = model.graph
    unused = [
        name
        for name, value in graph.initializers.items()
        if not value.uses() and not value.is_graph_input() and not value.is_graph_output()
    ]
    for name in unused:
        del graph.initializers[name]
    changed |= bool(unused)
    for holder in (model, graph, *graph):
        changed |= bool(holder.metadata_props) or bool(holder.doc_string)
        holder.metadata_props.clear()
        holder.doc_string = None
    kept = {*graph.inputs, *graph.outputs}
    for node in graph:
        for value in node.outputs:
            changed |= bool(value.metadata_props)
            value.metadata_props.clear()
            if value not in kept and (value.shape is not None or value.type is not None):
                value.shape = value.type = None
                changed = True
    return changed
