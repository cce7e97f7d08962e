"""Lower precision of a float32 graph: calibrated, measured, and refused if it loses too much.

Static quantisation (Jacob et al. 2018, sec. 2 and 3). Activation ranges are the extremes over
training clips; percentiles did worse (docs/decisions.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from voxedge.export.accuracy import AccuracyLoss, accuracy_loss, validation_scores
from voxedge.export.clips import LabelledClip
from voxedge.export.passes.compress_constants import compress_constants
from voxedge.export.passes.quantise import Range, activations, layers, quantise
from voxedge.export.passes.tidy import tidy
from voxedge.export.passes.to_float16 import to_float16
from voxedge.export.serialise import serialise

from voxedge.audio.limits import Samples
from voxedge.audio.windows import Batch, batches
from voxedge.errors import ParityError
from voxedge.inference.session import open_session
from voxedge.threads import available_processors

Precision: TypeAlias = Literal["fp32", "fp16", "int8"]

_BATCH_SIZE = 8
_LAYERS_TRIED_IN_FLOAT = (1, 2, 4)  # of the twenty layers of a ResNet-18
_SENSITIVITY_WINDOWS = 64


def lower_precision(
    model: ir.Model,
    precision: Precision,
    *,
    calibration: Sequence[Samples],
    validation: Callable[[], Iterable[LabelledClip]],
    window: int,
    rate: int,
    temperature: float,
    say: Callable[[str], None],
    in_float: Sequence[str] = (),
) -> tuple[ir.Model, AccuracyLoss]:
    """Convert a graph to fp16 or int8 and measure what that loses.

    If it loses too much, the most sensitive layers stay in float32 too, at most four of them.

    Args:
        model: in float32; is not changed.
        precision: of the trunk.
        calibration: training clips that cover every speaker.
        validation: returns the labelled clips to measure on, from the start at each call.
        window: samples of a window.
        rate: of the samples, Hz.
        temperature: of the probabilities.
        say: gets a line for each step.
        in_float: layers that stay in float32 in any case.

    Raises:
        ParityError: too much accuracy is lost even so; the message names the layers to blame.
    """
    say("measuring float32 on the validation clips")
    reference = validation_scores(serialise(model), validation(), window, rate)
    windows = [(None, clip[:window]) for clip in calibration]
    ranges: dict[str, Range] = {}
    if precision == "int8":
        say(f"calibrating on {len(windows)} training clips")
        ranges = activation_ranges(model, batches(windows, _BATCH_SIZE, window))

    def convert(more: Sequence[str]) -> ir.Model:
        return convert_precision(model, precision, ranges, (*in_float, *more))

    def convert_and_measure(more: Sequence[str]) -> tuple[ir.Model, AccuracyLoss]:
        lowered = convert(more)
        scores = validation_scores(serialise(lowered), validation(), window, rate)
        kept = (*in_float, *more)
        return lowered, accuracy_loss(precision, reference, scores, temperature, kept)

    say(f"measuring {precision} on the validation clips")
    lowered, loss = convert_and_measure(())
    if loss.passed:
        return lowered, loss
    say(f"{precision} costs too much ({loss.describe()}): looking for the layers to blame")
    some = windows[:: max(1, len(windows) // _SENSITIVITY_WINDOWS)]
    errors = _sensitivity(model, convert, list(batches(some, _BATCH_SIZE, window)))
    return _keep_layers_in_float(errors, convert_and_measure, say)


def _keep_layers_in_float(
    errors: Mapping[str, float],
    convert_and_measure: Callable[[Sequence[str]], tuple[ir.Model, AccuracyLoss]],
    say: Callable[[str], None],
) -> tuple[ir.Model, AccuracyLoss]:
    """Leave more and more of the most sensitive layers in float32, until the loss is allowed.

    Raises:
        ParityError: too much is lost however many are left.
    """
    ranked = sorted(errors, key=lambda name: -errors[name])
    for count in _LAYERS_TRIED_IN_FLOAT:
        say(f"leaving {', '.join(ranked[:count])} in float32")
        lowered, loss = convert_and_measure(ranked[:count])
        if loss.passed:
            return lowered, loss
    worst = ranked[: _LAYERS_TRIED_IN_FLOAT[-1]]
    raise ParityError(
        f"no file written: {loss.describe()}, even with the layers left in float32 that move the"
        f" logits most: {', '.join(f'{name} ({errors[name]:.1%})' for name in worst)}",
        "--precision fp32",
    )


def convert_precision(
    model: ir.Model, precision: Precision, ranges: Mapping[str, Range], in_float: Sequence[str] = ()
) -> ir.Model:
    """A copy in fp16 or int8, whatever it loses.

    Args:
        model: in float32; is not changed.
        precision: of the trunk.
        ranges: for int8, from ``activation_ranges``.
        in_float: layers that stay in float32.
    """
    copy = ir.from_proto(ir.to_proto(model))
    if precision == "int8":
        quantise(copy, ranges, in_float)
    else:
        to_float16(copy, in_float)
    compress_constants(copy, int8=precision == "int8")
    tidy(copy)
    return copy


def activation_ranges(model: ir.Model, windows: Iterable[Batch[None]]) -> dict[str, Range]:
    """Smallest and largest value over the windows of every tensor that ``quantise`` rounds.

    Every range includes 0.
    """
    observed = ir.from_proto(ir.to_proto(model))
    names = activations(observed)
    values = {value.name: value for node in observed.graph for value in node.outputs}
    for name in names:
        values[name].type = ir.TensorType(ir.DataType.FLOAT)
        observed.graph.outputs.append(values[name])
    session, _ = open_session(serialise(observed), "cpu", available_processors())
    low, high = np.zeros(len(names)), np.zeros(len(names))
    for batch in windows:
        tensors = session.run(names, {"pcm": batch.pcm, "lengths": batch.lengths})
        low = np.minimum(low, [tensor.min() for tensor in tensors])
        high = np.maximum(high, [tensor.max() for tensor in tensors])
    return dict(zip(names, zip(low.tolist(), high.tolist(), strict=True), strict=True))


def _sensitivity(
    model: ir.Model, convert: Callable[[Sequence[str]], ir.Model], windows: Sequence[Batch[None]]
) -> dict[str, float]:
    """The error of the logits with one layer alone converted, by layer.

    It is the root mean square error, relative to the standard deviation of the float32 logits.
    """

    def logits(graph: ir.Model) -> npt.NDArray[np.float32]:
        session, _ = open_session(serialise(graph), "cpu", available_processors())
        feeds = ({"pcm": batch.pcm, "lengths": batch.lengths} for batch in windows)
        return np.concatenate([session.run(["logits"], feed)[0] for feed in feeds])

    names = list(layers(model))
    expected = logits(model)
    spread = float(expected.std())
    errors = {}
    for name in names:
        actual = logits(convert([other for other in names if other != name]))
        error = float(np.sqrt(((actual - expected) ** 2).mean())) / spread
        errors[name] = error if np.isfinite(error) else np.inf
    return errors
