"""A model file that takes a device's own buffer: the plain graph with its input in front.

Shapes: B batch, S samples.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import onnx
import onnx_ir as ir
import torch
from onnx import compose, helper, numpy_helper
from voxedge.export.passes.make_lengths_optional import make_lengths_optional
from voxedge.export.passes.tidy import tidy
from voxedge.export.serialise import serialise
from voxedge.export.trace import trace_module

from voxedge.audio.limits import MAX_CHANNELS, Samples
from voxedge.audio.load import from_array
from voxedge.audio.windows import as_buffer
from voxedge.errors import ParityError, UsageError
from voxedge.inference.session import open_session
from voxedge.nn.input_conversion import InputConversion
from voxedge.threads import available_processors

RATES = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000)  # Hz
InputType: TypeAlias = Literal["float32", "int16"]

_AGREEMENT = 0.995  # of best answers, beside soxr; one clip is always let pass


@dataclass(frozen=True)
class InputFormat:
    """What the buffer holds."""

    rate: int  # Hz
    dtype: InputType = "float32"
    channels: int = 1

    def check(self, sample_rate: int) -> None:
        """Refuse what no model at ``sample_rate`` Hz can be given.

        Raises:
            UsageError: another rate than ``RATES``, or an impossible number of channels.
        """
        if self.rate not in (*RATES, sample_rate):
            raise UsageError(f"--input-rate {self.rate}: one of {', '.join(map(str, RATES))}")
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise UsageError(f"--input-channels {self.channels}: 1 to {MAX_CHANNELS}")

    def is_plain(self, sample_rate: int) -> bool:
        """Whether the model takes it as it is."""
        return self == InputFormat(sample_rate)

    def described(self) -> dict[str, Any]:
        """For the metadata."""
        return {"dtype": self.dtype, "rate": self.rate, "channels": self.channels}


def with_device_input(
    model: ir.Model, input_format: InputFormat, sample_rate: int, window: int
) -> ir.Model:
    """The graph that takes the device's buffer; ``model`` is kept as it is.

    Args:
        model: takes ``pcm`` at ``sample_rate``.
        input_format: what the buffer holds.
        sample_rate: Hz.
        window: samples at ``sample_rate`` that the model looks at; no more are resampled.
    """
    before = InputConversion(
        input_format.rate, sample_rate, input_format.channels, input_format.dtype == "int16"
    )
    longest = before.input_length(window) * input_format.channels
    front = _traced(before, longest)
    body = ir.to_proto(model)
    for entry in [e for e in body.graph.initializer if e.name == "lengths"]:
        body.graph.initializer.remove(entry)  # its default belongs to the new input
    body = _with_inputs(body, {"pcm": "samples", "lengths": "valid"})
    front = compose.add_prefix(front, "device/", rename_inputs=False, rename_outputs=False)
    merged = compose.merge_models(
        front, body, io_map=[("device_samples", "samples"), ("device_valid", "valid")]
    )
    merged.ir_version = body.ir_version
    result = ir.from_proto(merged)
    make_lengths_optional(result)
    tidy(result)
    return result


def agreement(
    plain: ir.Model,
    made: ir.Model,
    input_format: InputFormat,
    sample_rate: int,
    window: int,
    clips: Iterable[Samples],
) -> dict[str, Any]:
    """Best answers on real clips: the graph's own resampling beside soxr's.

    Args:
        plain: takes samples at ``sample_rate``.
        made: from ``with_device_input``.
        input_format: what the buffer holds.
        sample_rate: Hz.
        window: samples at ``sample_rate`` that a model looks at.
        clips: mono [S] at the device's rate.

    Raises:
        ParityError: they agree in too few.
    """
    sessions = [
        open_session(serialise(model), "cpu", available_processors())[0] for model in (plain, made)
    ]
    count = same = 0
    largest = 0.0
    for clip in clips:
        clip = np.clip(clip, -1, 32_767 / 32_768)
        reference = from_array(clip, input_format.rate, sample_rate).samples[:window]
        feeds = [reference[None], as_buffer(clip[None], input_format.dtype, input_format.channels)]
        first, second = (
            session.run(["logits"], {"pcm": feed})[0][0]
            for session, feed in zip(sessions, feeds, strict=True)
        )
        count += 1
        same += int(first.argmax() == second.argmax())
        largest = max(largest, float(np.abs(first - second).max()))
    if count - same > max(1, int((1 - _AGREEMENT) * count)):
        raise ParityError(
            f"no file written: resampled in the graph, the best answer is soxr's in {same} of"
            f" {count} clips; {_AGREEMENT:.1%} are asked for"
        )
    return {
        "reference": "soxr",
        "clips": count,
        "top1": round(same / count, 6),
        "logits": float(f"{largest:.1e}"),
    }


def _with_inputs(model: onnx.ModelProto, names: dict[str, str]) -> onnx.ModelProto:
    """The model with inputs of other names."""
    for value in model.graph.input:
        value.name = names.get(value.name, value.name)
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)
    return model


def _traced(before: InputConversion, longest: int) -> onnx.ModelProto:
    """The input's graph; of a longer buffer only the first ``longest`` values are looked at."""
    frames = longest // before.channels + 1
    dtype = torch.int16 if before.integers else torch.float32
    example = (torch.zeros(2, frames * before.channels, dtype=dtype), torch.tensor([frames]))
    model = ir.to_proto(
        trace_module(before, example, ["device_samples", "device_valid"], before.channels)
    )
    graph = model.graph
    names = ("device_start", "device_end", "device_axis")
    for name, value in zip(names, (0, longest, 1), strict=True):
        graph.initializer.append(numpy_helper.from_array(np.array([value]), name))
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == "pcm":
                node.input[index] = "device_pcm"
    graph.node.insert(0, helper.make_node("Slice", ["pcm", *names], ["device_pcm"]))
    return model
