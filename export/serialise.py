"""An ``onnx_ir`` model as the bytes of a file."""

from __future__ import annotations

import onnx_ir as ir


def serialise(model: ir.Model) -> bytes:
    """Protobuf bytes; equal models give equal bytes."""
    data: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return data
