"""Parts of an exported file, cut at its image: the front end before it, everything behind it, and
the bare trunk, without the long-term statistics and the head.

Weights and quantisation are the file's own, so that a part costs what it costs in the file.
Shapes: P pixels of a side, E embedding, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import shape_inference
from voxedge.export.passes.tidy import tidy
from voxedge.export.serialise import serialise

_STORED = {"DequantizeLinear", "Cast"}  # between a weight in lower precision and its use
_ROUNDING = {*_STORED, "QuantizeLinear"}
_POOLS = {"GlobalAveragePool", "ReduceMean"}


def bare_trunk(path: Path) -> bytes:
    """A model of ``image`` [batch, 1, P, P] -> ``features`` [batch, E, 1, 1].

    Raises:
        ValueError: the file has no convolution over an image.
    """
    model = ir.load(path)
    pooled = _pooled(_convolutions(model)[-1])
    model.graph.inputs[:] = [_given_image(model)]
    return _ending(model, pooled, "features")


def behind_front_end(path: Path) -> bytes:
    """The file with an input ``image`` [batch, 1, P, P] in addition to its own.

    Of its own inputs it then only uses the length of a clip.

    Raises:
        ValueError: the file has no convolution over an image.
    """
    model = ir.load(path)
    model.graph.inputs.insert(0, _given_image(model))
    return _without_dead(model)


def bare_front_end(path: Path) -> bytes:
    """A model of ``pcm`` -> ``image`` [batch, 1, P, P].

    Raises:
        ValueError: the file has no convolution over an image.
    """
    model = ir.load(path)
    return _ending(model, _image(_convolutions(model)[0]), "image")


def multiply_adds(trunk: bytes, pixels: int) -> int:
    """Multiply-adds of a bare float32 trunk for one image.

    Args:
        trunk: from ``bare_trunk``.
        pixels: P.
    """
    proto = onnx.load_from_string(trunk)
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    for dim, size in zip(dims, (1, 1, pixels, pixels), strict=True):
        dim.dim_value = size
    graph = shape_inference.infer_shapes(proto).graph
    known = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        known[value.name] = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":
            each = math.prod(known[node.input[1]][1:])
        elif node.op_type in ("MatMul", "Gemm"):
            each = known[node.input[0]][-1]
        else:
            continue
        total += each * math.prod(known[node.output[0]])
    return total


def with_classes(path: Path, classes: int) -> bytes:
    """A model file with another number of classes, at random weights: for costs, not for answers.

    Args:
        path: a model file.
        classes: K.
    """
    model = ir.load(path)
    graph = model.graph
    (known,) = {value.shape[1] for value in graph.outputs if value.name == "logits"}
    random = np.random.default_rng(0)
    for value in _head_constants(next(v for v in graph.outputs if v.name == "logits")):
        tensor = value.const_value
        if known in tensor.shape:
            shape = [classes if size == known else size for size in tensor.shape]
            weights = random.standard_normal(shape).astype(tensor.numpy().dtype)
            value.const_value = ir.tensor(weights, name=value.name)
            value.shape = ir.Shape(weights.shape)
    for value in graph.outputs:
        if value.shape is not None and value.shape[1] == known:
            value.shape = ir.Shape([value.shape[0], classes])
    model.metadata_props.clear()
    return serialise(model)


def _ending(model: ir.Model, value: ir.Value, name: str) -> bytes:
    """The model with this value as its only output, under that name."""
    value.name, value.type = name, ir.TensorType(ir.DataType.FLOAT)
    model.graph.outputs[:] = [value]
    return _without_dead(model)


def _without_dead(model: ir.Model) -> bytes:
    """The model without our metadata and without what no output needs."""
    model.metadata_props.clear()
    tidy(model)
    return serialise(model)


def _given_image(model: ir.Model) -> ir.Value:
    """A new value that replaces the image wherever it is used."""
    shape = ir.Shape(["batch", 1, "rows", "columns"])
    image = ir.Value(name="image", type=ir.TensorType(ir.DataType.FLOAT), shape=shape)
    ir.convenience.replace_all_uses_with(_image(_convolutions(model)[0]), image)
    return image


def _convolutions(model: ir.Model) -> list[ir.Node]:
    """The trunk's convolutions: those of the front end are over time only."""
    found = [n for n in model.graph if n.op_type == "Conv" and _rank(n.inputs[1]) == 4]
    if not found:
        raise ValueError("the model has no convolution over an image")
    return found


def _head_constants(logits: ir.Value) -> Iterator[ir.Value]:
    """The constants of the heads: without those of the embedding and of the clip's duration."""
    node = logits.producer()
    if logits.const_value is not None:
        yield logits
    elif node is not None and node.op_type != "Pow":
        for value in node.inputs[1:] if node.op_type in ("MatMul", "Gemm") else node.inputs:
            if value is not None:
                yield from _head_constants(value)


def _rank(value: ir.Value | None) -> int:
    """The number of dimensions of a constant, in any precision; 0 for what is no constant."""
    while value is not None and value.const_value is None:
        node = value.producer()
        value = node.inputs[0] if node is not None and node.op_type in _STORED else None
    return len(value.const_value.shape) if value is not None else 0


def _image(first: ir.Node) -> ir.Value:
    """The input of the first convolution, before it is rounded to the file's precision."""
    value = first.inputs[0]
    while value.producer().op_type in _ROUNDING:
        value = value.producer().inputs[0]
    return value


def _pooled(last: ir.Node) -> ir.Value:
    """The mean over the image behind the last convolution."""
    behind = [last]
    for node in behind:
        if node.op_type in _POOLS:
            return node.outputs[0]
        behind += [use.node for value in node.outputs for use in value.uses()]
    raise ValueError("nothing takes the mean of the last convolution")
