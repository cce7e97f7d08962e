"""Leaves only what computes: no dead nodes, no unused initialisers, no trace of the exporter.

1. Nodes and initialisers that no output needs go.
2. Documentation strings and per-node metadata (Python stack traces, paths of the training machine)
   go: they would make equal models differ, and tell the device what is none of its business.
3. Intermediate value shapes go: the runtime infers them, and those of ``lengths`` are stale.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass


def tidy(model: ir.Model) -> bool:
    """Apply rules 1 to 3; whether anything changed."""
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
