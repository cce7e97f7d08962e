"""Model files that take a device's own buffer: resampling and mixing down inside the graph.

Shapes: B batch, S samples.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, TypedDict

import numpy as np
import onnx
import onnx_ir as ir
import torch
from onnx import compose, helper, numpy_helper
from voxedge.export.passes.make_lengths_optional import make_lengths_optional
from voxedge.export.passes.tidy import tidy
from voxedge.export.serialise import serialise
from voxedge.export.trace import trace_module

from voxedge.audio.arrays import from_array
from voxedge.audio.limits import MAX_CHANNELS, Samples
from voxedge.audio.windows import as_buffer
from voxedge.errors import ParityError, UsageError
from voxedge.inference.session import open_session
from voxedge.model_file.metadata import InputDescription
from voxedge.nn.input_conversion import InputConversion
from voxedge.threads import available_processors

RATES = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000)  # Hz
InputType: TypeAlias = Literal["float32", "int16"]

_MIN_AGREEMENT = 0.995  # of the answers with those behind soxr; one clip may always differ


class ResamplingSummary(TypedDict):
    """How the graph's resampling was verified, in the metadata."""

    reference: str
    clips: int
    top1: float  # fraction of the clips whose answers agree
    logits: float  # largest absolute difference


@dataclass(frozen=True)
class InputFormat:
    """The format of the buffer that a device fills."""

    rate: int  # Hz
    dtype: InputType = "float32"
    channels: int = 1  # interleaved
    ragged: bool = False  # clips of a batch one after the other, with their counts

    def check(self, sample_rate: int) -> None:
        """Refuse a format that no model at ``sample_rate`` Hz can take.

        Raises:
            UsageError: another rate than ``RATES``, or an impossible number of channels.
        """
        if self.rate not in (*RATES, sample_rate):
            raise UsageError(f"--input-rate {self.rate}: one of {', '.join(map(str, RATES))}")
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise UsageError(f"--input-channels {self.channels}: 1 to {MAX_CHANNELS}")

    def is_plain(self, sample_rate: int) -> bool:
        """Whether a model at ``sample_rate`` Hz takes such samples without conversion."""
        return replace(self, ragged=False) == InputFormat(sample_rate)

    def describe(self) -> InputDescription:
        """The JSON form, for the metadata."""
        plain: InputDescription = {
            "dtype": self.dtype,
            "rate": self.rate,
            "channels": self.channels,
        }
        return {**plain, "layout": "ragged"} if self.ragged else plain


def with_input_format(
    model: ir.Model, input_format: InputFormat, sample_rate: int, window: int
) -> ir.Model:
    """The graph with the conversion of another input format in front of it.

    Args:
        model: takes ``pcm`` at ``sample_rate``; is not changed.
        input_format: of the buffer.
        sample_rate: Hz.
        window: samples at ``sample_rate`` that the model reads; no more are resampled.
    """
    longest = input_length(input_format, sample_rate, window)
    front = _trace_conversion(_conversion(input_format, sample_rate), longest)
    front = compose.add_prefix(front, "device/", rename_inputs=False, rename_outputs=False)
    body = ir.to_proto(model)
    for default in [tensor for tensor in body.graph.initializer if tensor.name == "lengths"]:
        body.graph.initializer.remove(default)  # it is the new input that has a default
    rename_inputs(body.graph, {"pcm": "samples", "lengths": "valid"})
    merged = compose.merge_models(
        front, body, io_map=[("device_samples", "samples"), ("device_valid", "valid")]
    )
    merged.ir_version = body.ir_version
    result = ir.from_proto(merged)
    make_lengths_optional(result)
    tidy(result)
    return result


def input_length(input_format: InputFormat, sample_rate: int, window: int) -> int:
    """Values of a buffer, all channels together, that a window of samples is computed from."""
    conversion = _conversion(input_format, sample_rate)
    return conversion.input_length(window) * input_format.channels


def check_resampling(
    plain: ir.Model,
    converted: ir.Model,
    input_format: InputFormat,
    sample_rate: int,
    window: int,
    clips: Iterable[Samples],
) -> ResamplingSummary:
    """Refuse a graph whose resampling gives other answers than soxr's on real clips.

    Args:
        plain: takes samples at ``sample_rate``.
        converted: the same, from ``with_input_format``.
        input_format: of the buffer.
        sample_rate: Hz.
        window: samples at ``sample_rate`` that the model reads.
        clips: mono [S] at the device's rate.

    Raises:
        ParityError: too few answers agree.
    """
    plain_session, converted_session = (
        open_session(serialise(model), "cpu", available_processors())[0]
        for model in (plain, converted)
    )
    count = same = 0
    largest = 0.0
    for clip in clips:
        clip = np.clip(clip, -1, 32_767 / 32_768)  # what int16 can hold
        resampled = from_array(clip, input_format.rate, sample_rate).samples[:window]
        buffer = as_buffer(clip[None], input_format.dtype, input_format.channels)
        (expected,) = plain_session.run(["logits"], {"pcm": resampled[None]})[0]
        (actual,) = converted_session.run(["logits"], {"pcm": buffer})[0]
        count += 1
        same += int(expected.argmax() == actual.argmax())
        largest = max(largest, float(np.abs(expected - actual).max()))
    if count - same > max(1, int((1 - _MIN_AGREEMENT) * count)):
        raise ParityError(
            f"no file written: resampled in the graph, the best answer is soxr's in {same} of"
            f" {count} clips; {_MIN_AGREEMENT:.1%} are asked for"
        )
    return {
        "reference": "soxr",
        "clips": count,
        "top1": round(same / count, 6),
        "logits": float(f"{largest:.1e}"),
    }


def _conversion(input_format: InputFormat, sample_rate: int) -> InputConversion:
    return InputConversion(
        input_format.rate, sample_rate, input_format.channels, input_format.dtype == "int16"
    )


def _trace_conversion(conversion: InputConversion, longest: int) -> onnx.ModelProto:
    """The graph of a conversion, which reads only the first ``longest`` values of a buffer."""
    frames = longest // conversion.channels + 1
    dtype = torch.int16 if conversion.integers else torch.float32
    example = (
        torch.zeros(2, frames * conversion.channels, dtype=dtype),
        torch.tensor([frames]),
    )
    outputs = ["device_samples", "device_valid"]
    model = ir.to_proto(trace_module(conversion, example, outputs, conversion.channels))
    graph = model.graph
    _rename_reads(graph, {"pcm": "device_pcm"})
    names = ("device_start", "device_end", "device_axis")
    for name, value in zip(names, (0, longest, 1), strict=True):
        graph.initializer.append(numpy_helper.from_array(np.array([value]), name))
    graph.node.insert(0, helper.make_node("Slice", ["pcm", *names], ["device_pcm"]))
    return model


def rename_inputs(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Give inputs of a graph other names, in place."""
    for value in graph.input:
        value.name = names.get(value.name, value.name)
    _rename_reads(graph, names)


def _rename_reads(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Let nodes read other values."""
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)
