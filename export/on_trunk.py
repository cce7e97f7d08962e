"""The graph of a network on top of a model file: the file's own graph, and the head behind it.

Shapes: B batch, E embedding, K classes.
"""

from __future__ import annotations

from typing import cast

import onnx_ir as ir
import torch
from onnx import compose, helper, version_converter
from onnx import load as load_onnx
from voxedge.export.precision import Precision
from voxedge.export.trace import OPSET, lowest_ir_version, quiet

from voxedge.errors import UsageError
from voxedge.nn.embedding_head import CalibratedHead
from voxedge.train.pretrained.network import PretrainedNet
from voxedge.train.run import Run

_OUTPUTS = ("logits", "probabilities")


def graph_on_trunk(run: Run, net: PretrainedNet) -> ir.Model:
    """``pcm``, ``lengths`` -> ``logits``, ``probabilities`` and the trunk's own ``embedding``.

    Args:
        run: with the trunk's file.
        net: of the run.
    """
    trunk = load_onnx(run.trunk)
    del trunk.metadata_props[:]
    for default in [tensor for tensor in trunk.graph.initializer if tensor.name == "lengths"]:
        trunk.graph.initializer.remove(default)  # merging takes it for a constant; added again
    head = ir.to_proto(_trace_head(net.head, net.metadata.embedding_dim))
    opset = next(entry.version for entry in trunk.opset_import if entry.domain in ("", "ai.onnx"))
    if opset != OPSET:
        head = version_converter.convert_version(head, opset)
    del trunk.opset_import[:]
    trunk.opset_import.append(helper.make_opsetid("", opset))
    head = compose.add_prefix(head, "head/", rename_outputs=False)
    head.ir_version = trunk.ir_version = max(head.ir_version, trunk.ir_version)
    embedding = [value for value in trunk.graph.output if value.name == "embedding"]
    merged = compose.merge_models(
        trunk, head, io_map=[("embedding", "head/embedding")], outputs=list(_OUTPUTS)
    )
    merged.graph.output.extend(embedding)
    model = ir.from_proto(merged)
    model.ir_version = lowest_ir_version(model)
    return model


def precision_on_trunk(trunk: str, wanted: Precision) -> Precision:
    """The precision of a file whose trunk is of another one than float32: the trunk's own.

    Args:
        trunk: precision of the trunk's file.
        wanted: of the file; ``fp32`` is the default and lowers nothing.

    Raises:
        UsageError: it cannot be had.
    """
    if trunk == "fp32":
        return wanted
    if wanted not in ("fp32", trunk):
        raise UsageError(
            f"--precision {wanted}: the run's trunk is {trunk} already",
            "train on its float32 file",
        )
    return cast(Precision, trunk)


def _trace_head(head: CalibratedHead, embedding_dim: int) -> ir.Model:
    with quiet():
        program = torch.onnx.export(
            head.cpu().eval(),
            (torch.zeros(2, embedding_dim),),  # two rows: the exporter specialises on one
            dynamo=True,
            input_names=["embedding"],
            output_names=list(_OUTPUTS),
            dynamic_shapes={"embedding": {0: torch.export.Dim("batch")}},
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None  # with dynamo=True it always returns a program
    return program.model
