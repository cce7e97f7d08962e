"""An ``onnx_ir`` model as the bytes of a file."""

from __future__ import annotations

import onnx_ir as ir


def serialise(model: ir.Model) -> bytes:
    """Protobuf; the same model gives the same bytes."""
    data: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return data
