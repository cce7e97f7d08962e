"""Model files that take clips of different lengths as one concatenated buffer and their counts.

This is what Triton's ragged batching feeds: the requests of a batch one after the other, without
padding, and the number of values of each
(https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/ragged_batching.html).

Shapes: B clips of a batch, V values of all of them, R values of a clip that the graph reads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from typing import TypedDict

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, compose, helper, numpy_helper
from voxedge.export.input_format import InputFormat, input_length, rename_inputs
from voxedge.export.parity import TOLERANCE
from voxedge.export.passes.tidy import tidy
from voxedge.export.serialise import serialise

from voxedge.audio.limits import Samples
from voxedge.audio.windows import as_buffer, make_batch
from voxedge.errors import ParityError
from voxedge.inference.feeds import COUNTS, ragged_feeds
from voxedge.inference.session import open_session

_BATCH_SIZES = (1, 2, 3, 7)


class RaggedSummary(TypedDict):
    """How the ragged form was verified, in the metadata."""

    reference: str
    clips: int
    largest: float  # absolute difference of a probability or a value of an embedding
    top1: float  # fraction of the clips whose answers agree


def with_ragged_input(
    model: ir.Model, input_format: InputFormat, sample_rate: int, window: int
) -> ir.Model:
    """The graph with ``pcm`` [V] and ``counts`` int32 [B] in place of ``pcm`` and ``lengths``.

    A row of the padded form is gathered for each clip. Behind a clip's end its last value is
    repeated: no row ever holds a value of another clip.

    Args:
        model: takes ``pcm`` [B, values] of the input format, and ``lengths``; is not changed.
        input_format: of the buffer.
        sample_rate: Hz, of the network.
        window: samples at ``sample_rate`` that the network reads.
    """
    body = ir.to_proto(model)
    for default in [tensor for tensor in body.graph.initializer if tensor.name == "lengths"]:
        body.graph.initializer.remove(default)
    rename_inputs(body.graph, {"pcm": "samples", "lengths": "valid"})
    element = next(v for v in body.graph.input if v.name == "samples").type.tensor_type.elem_type
    longest = input_length(input_format, sample_rate, window)
    front = helper.make_model(
        _rows(element, longest, input_format.channels),
        opset_imports=body.opset_import,
        ir_version=body.ir_version,
    )
    merged = compose.merge_models(
        compose.add_prefix(front, "ragged/", rename_inputs=False),
        body,
        io_map=[("ragged/rows", "samples"), ("ragged/frames", "valid")],
    )
    merged.ir_version = body.ir_version
    result = ir.from_proto(merged)
    tidy(result)
    return result


def check_ragged(
    padded: ir.Model,
    ragged: ir.Model,
    input_format: InputFormat,
    outputs: Sequence[str],
    clips: Sequence[Samples],
) -> RaggedSummary:
    """Refuse a graph that answers otherwise than the padded form, in batches of 1, 2, 3 and 7.

    Args:
        padded: takes ``pcm`` [B, values] and ``lengths``.
        ragged: the same, from ``with_ragged_input``.
        input_format: of the buffer.
        outputs: names to compare; the first decides whose clip it is.
        clips: mono [S] at the device's rate, of any lengths.

    Raises:
        ParityError: an output differs by more than 1e-3, or an answer is another one.
    """
    sessions = [open_session(serialise(model), "cpu", 1)[0] for model in (padded, ragged)]
    count = same = 0
    largest = 0.0
    for some in _batches(clips):
        batch = make_batch([(None, clip) for clip in some], max(map(len, some)))
        pcm = as_buffer(batch.pcm, input_format.dtype, input_format.channels)
        expected = sessions[0].run(outputs, {"pcm": pcm, "lengths": batch.lengths})
        feeds = ragged_feeds(pcm, batch.lengths, input_format.channels)
        actual = sessions[1].run(outputs, feeds)
        count += len(some)
        same += int((expected[0].argmax(axis=1) == actual[0].argmax(axis=1)).sum())
        for a, b in zip(expected, actual, strict=True):
            # Unlike Python's max, NumPy's is NaN if a difference is.
            largest = float(np.maximum(largest, np.abs(a - b).max()))
    if not largest <= TOLERANCE or same < count:
        raise ParityError(
            f"no file written: outputs of the ragged form differ from the padded form's by"
            f" {largest:.2e}, allowed {TOLERANCE:.0e}; {same} of {count} answers agree"
        )
    return {
        "reference": "padded",
        "clips": count,
        "largest": float(f"{largest:.1e}"),
        "top1": round(same / count, 6),
    }


def _batches(clips: Sequence[Samples]) -> Iterator[list[Samples]]:
    """All clips, in batches of every size; of few clips each serves several times."""
    rest = iter([*clips] * math.ceil(sum(_BATCH_SIZES) / len(clips)))
    for size in cycle(_BATCH_SIZES):
        if not (batch := list(islice(rest, size))):
            return
        yield batch


def _rows(element: int, longest: int, channels: int) -> onnx.GraphProto:
    """``pcm`` [V] and ``counts`` [B] -> ``rows`` [B, R] and ``frames`` int64 [B]."""
    constants = {
        "positions": np.arange(longest)[None],
        "axis": np.array([1]),
        "clips": np.array(0),
        "one": np.array([1]),
        "channels": np.array([channels]),
    }
    nodes = [
        helper.make_node("Cast", [COUNTS], ["values"], to=TensorProto.INT64),
        helper.make_node("CumSum", ["values", "clips"], ["ends"]),
        helper.make_node("Sub", ["ends", "values"], ["starts"]),
        helper.make_node("Max", ["values", "one"], ["at_least_one"]),
        helper.make_node("Sub", ["at_least_one", "one"], ["last"]),
        helper.make_node("Unsqueeze", ["starts", "axis"], ["start_of_row"]),
        helper.make_node("Unsqueeze", ["last", "axis"], ["last_of_row"]),
        helper.make_node("Min", ["positions", "last_of_row"], ["within"]),
        helper.make_node("Add", ["start_of_row", "within"], ["index"]),
        helper.make_node("Gather", ["pcm", "index"], ["rows"], axis=0),
        helper.make_node("Div", ["values", "channels"], ["frames"]),
    ]
    return helper.make_graph(
        nodes,
        "ragged",
        [
            helper.make_tensor_value_info("pcm", element, ["values"]),
            helper.make_tensor_value_info(COUNTS, TensorProto.INT32, ["batch"]),
        ],
        [
            helper.make_tensor_value_info("rows", element, ["batch", longest]),
            helper.make_tensor_value_info("frames", TensorProto.INT64, ["batch"]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
