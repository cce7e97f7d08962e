"""Join the graph of a front end and an ONNX network: ``pcm``, ``lengths`` -> ``embedding``.

The window is fixed, so the number of frames is known, and the shapes that an older exporter left to
be computed at every run are folded into constants.

Shapes: B batch, T frames, M bands, W samples of a window, E embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxscript.optimizer
from onnx import compose, helper, numpy_helper, version_converter
from voxedge.export.passes.make_lengths_optional import make_lengths_optional
from voxedge.export.passes.narrow_indices import narrow_indices
from voxedge.export.passes.quantise import NETWORK
from voxedge.export.passes.tidy import tidy
from voxedge.export.trace import OPSET, lowest_ir_version

from voxedge.errors import UsageError
from voxedge.model_file.reader import MAX_OPSET

_MIN_OPSET = 9
_TINY = 1e-12  # length that is not divided by

Order: TypeAlias = Literal["plain", "transposed", "channel"]


@dataclass(frozen=True)
class Network:
    """A network in ONNX, fit to be folded.

    Args:
        model: of the opset that the front end is traced in, or a later one.
        input: name of its only input.
        shape: of the input behind the batch; None where a size is free.
        output: name of the embedding.
    """

    model: onnx.ModelProto
    input: str
    shape: tuple[int | None, ...]
    output: str

    def order(self, features: Sequence[int]) -> Order:
        """How features (T, M) or (W,) have to be turned for the input.

        Raises:
            UsageError: they do not fit at all.
        """
        if _fits(features, self.shape):
            return "plain"
        if len(features) == 2 and _fits(features[::-1], self.shape):
            return "transposed"
        if len(features) == 1 and _fits((1, *features), self.shape):
            return "channel"
        wanted = " x ".join("any" if size is None else str(size) for size in self.shape)
        given = " x ".join(map(str, features))
        raise UsageError(
            f"the network takes {wanted} values, the front end gives {given}",
            "--frontend, --bins and --window decide what it gives",
        )

    def arranged(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Features [B, T, M] or [B, W] as the input takes them."""
        order = self.order(features.shape[1:])
        if order == "transposed":
            return np.ascontiguousarray(features.transpose(0, 2, 1))
        return features[:, None] if order == "channel" else features


def read_network(path: Path, output: str | None = None) -> Network:
    """Read a network and check that it can be folded.

    Args:
        path: an ONNX file; tensors outside the file are read too.
        output: the name of the embedding, if there is more than one output.

    Raises:
        UsageError: it is no ONNX file, or not of one free input and one embedding.
    """
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # noqa: BLE001 - protobuf, onnx and the file system raise their own
        raise UsageError(f"{path} is not an ONNX file that can be read: {error}") from None
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise UsageError(f"{path.name} takes {len(inputs)} inputs ({names}), one is needed")
    dimensions = inputs[0].type.tensor_type.shape.dim
    shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in dimensions)
    if inputs[0].type.tensor_type.elem_type != onnx.TensorProto.FLOAT or len(shape) not in (2, 3):
        raise UsageError(
            f"{path.name}: its input should be float32 [batch, frames, bands] or [batch, samples]"
        )
    if shape[0] is not None:
        raise UsageError(
            f"{path.name} takes batches of {shape[0]} only", "export it with a dynamic batch"
        )
    chosen = _choose_output([value.name for value in graph.output], output, path.name)
    return Network(_upgraded(model, path.name), inputs[0].name, shape[1:], chosen)


def fold(front: ir.Model, features: Sequence[int], network: Network) -> ir.Model:
    """One graph of a front end and a network; its only output is the embedding, of length 1.

    Args:
        front: takes ``pcm`` and ``lengths``, gives ``features``.
        features: shape of the features behind the batch: (T, M) or (W,).
        network: behind it.

    Raises:
        UsageError: the network takes another shape.
    """
    order = network.order(features)
    opset = network.model.opset_import[0].version
    proto = ir.to_proto(front)
    if proto.opset_import[0].version != opset:
        proto = version_converter.convert_version(proto, opset)
    before = compose.add_prefix(proto, "frontend/", rename_inputs=False, rename_outputs=False)
    behind = compose.add_prefix(network.model, NETWORK)
    before.ir_version = behind.ir_version = max(before.ir_version, behind.ir_version)
    start, embedding = NETWORK + network.input, NETWORK + network.output
    joined = _arrange(before.graph, features, order)
    merged = compose.merge_models(before, behind, io_map=[(joined, start)], outputs=[embedding])
    _normalise(merged.graph, embedding)
    return _simplified(merged)


def _choose_output(names: Sequence[str], wanted: str | None, file: str) -> str:
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted is None or wanted not in names:
        raise UsageError(f"{file} has the outputs {', '.join(names)}", "choose one: --output NAME")
    return wanted


def _upgraded(model: onnx.ModelProto, file: str) -> onnx.ModelProto:
    """The model in the opset that front ends are traced in, or in its own if that is later."""
    opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    used = {node.domain or "ai.onnx" for node in model.graph.node}
    if foreign := sorted(used - {"ai.onnx"}):
        raise UsageError(f"{file} has operators of {', '.join(foreign)}", "export it without them")
    opset = opsets.get("ai.onnx", 0)
    if not _MIN_OPSET <= opset <= MAX_OPSET:
        raise UsageError(f"{file} is of opset {opset}; {_MIN_OPSET} to {MAX_OPSET} can be folded")
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", opset))
    return version_converter.convert_version(model, OPSET) if opset < OPSET else model


def _fits(sizes: Sequence[int], shape: Sequence[int | None]) -> bool:
    return len(sizes) == len(shape) and all(
        want in (None, size) for size, want in zip(sizes, shape, strict=True)
    )


def _arrange(graph: onnx.GraphProto, features: Sequence[int], order: Order) -> str:
    """Add what turns the features for the network; returns the name of the result."""
    if order == "transposed":
        turned: tuple[int, ...] = (features[1], features[0])
        graph.node.append(helper.make_node("Transpose", ["features"], [order], perm=[0, 2, 1]))
    elif order == "channel":
        turned = (1, features[0])
        _add_constant(graph, "axis", np.array([1]))
        graph.node.append(helper.make_node("Unsqueeze", ["features", "axis"], [order]))
    else:
        return "features"
    _replace_outputs(graph, order, turned)
    return order


def _normalise(graph: onnx.GraphProto, embedding: str) -> None:
    """Add: embedding / max(its length, tiny), flattened to [B, E]."""
    _add_constant(graph, "embedding_axis", np.array([1]))
    _add_constant(graph, "embedding_tiny", np.array(_TINY, np.float32))
    graph.node.extend(
        [
            helper.make_node("Flatten", [embedding], ["embedding_flat"], axis=1),
            helper.make_node(
                "ReduceL2", ["embedding_flat", "embedding_axis"], ["embedding_norm"], keepdims=1
            ),
            helper.make_node("Max", ["embedding_norm", "embedding_tiny"], ["embedding_length"]),
            helper.make_node("Div", ["embedding_flat", "embedding_length"], ["embedding"]),
        ]
    )
    _replace_outputs(graph, "embedding", ("embedding",))


def _replace_outputs(graph: onnx.GraphProto, name: str, shape: Sequence[int | str]) -> None:
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", *shape])
    )


def _add_constant(graph: onnx.GraphProto, name: str, value: npt.NDArray[Any]) -> None:
    graph.initializer.append(numpy_helper.from_array(value, name))


def _simplified(merged: onnx.ModelProto) -> ir.Model:
    """The joined graph with known shapes folded in, and the passes of every export."""
    inferred = onnx.shape_inference.infer_shapes(merged, data_prop=True)
    model = onnxscript.optimizer.optimize(ir.from_proto(inferred))
    for apply in (make_lengths_optional, narrow_indices, tidy):
        apply(model)
    model.ir_version = lowest_ir_version(model)
    model.producer_name, model.producer_version = "voxedge", ""
    return model
