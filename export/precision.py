"""Lower precision for a float32 graph: calibrated, measured, and refused where it costs too much.

Static quantisation (Jacob et al. 2018, sec. 2 and 3): ranges are the extremes over training clips;
percentiles in their place did worse (docs/experiments.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
import onnx_ir as ir
from voxedge.export.accuracy import Accuracy, Labelled, compare, scores
from voxedge.export.passes.halve import halve
from voxedge.export.passes.quantise import Range, activations, layers, quantise
from voxedge.export.passes.shrink import shrink
from voxedge.export.passes.tidy import tidy
from voxedge.export.serialise import serialise

from voxedge.audio.limits import Samples
from voxedge.audio.windows import Batch, batches
from voxedge.errors import ParityError
from voxedge.inference.session import open_session
from voxedge.threads import available_processors

Precision: TypeAlias = Literal["fp32", "fp16", "int8"]

_BATCH = 8
_TRIED_IN_FLOAT = (1, 2, 4)  # of twenty layers
_SENSITIVITY_WINDOWS = 64


def lower(
    model: ir.Model,
    precision: Precision,
    *,
    calibration: Sequence[Samples],
    validation: Callable[[], Iterable[Labelled]],
    window: int,
    temperature: float,
    say: Callable[[str], None],
) -> tuple[ir.Model, Accuracy]:
    """The model in fp16 or int8, and what that cost.

    If it costs too much, the layers that harm most are left in float, at most four.

    Args:
        model: in float32, kept as it is.
        precision: of the trunk.
        calibration: clips of the training side that cover every speaker.
        validation: the labelled clips to measure on, from the start at each call.
        window: W, in samples.
        temperature: of the probabilities.
        say: told what is being done.

    Raises:
        ParityError: too much accuracy is lost; it names the layers to blame.
    """
    say("measuring float32 on the validation clips")
    reference = scores(serialise(model), validation(), window)
    pairs = [(None, clip[:window]) for clip in calibration]
    ranges: dict[str, Range] = {}
    if precision == "int8":
        say(f"calibrating on {len(pairs)} training clips")
        ranges = activation_ranges(model, batches(pairs, _BATCH, window))

    def lowered(in_float: Sequence[str]) -> ir.Model:
        return converted(model, precision, ranges, in_float)

    def measured(in_float: Sequence[str]) -> tuple[ir.Model, Accuracy]:
        made = lowered(in_float)
        found = scores(serialise(made), validation(), window)
        return made, compare(precision, reference, found, temperature, in_float)

    say(f"measuring {precision} on the validation clips")
    made, accuracy = measured(())
    if accuracy.passed:
        return made, accuracy
    say(f"{precision} costs too much ({accuracy.describe()}): looking for the layers to blame")
    some = list(batches(pairs[:: max(1, len(pairs) // _SENSITIVITY_WINDOWS)], _BATCH, window))
    harm = _sensitivity(model, lowered, some)
    blamed = sorted(harm, key=lambda name: -harm[name])
    for count in _TRIED_IN_FLOAT:
        say(f"leaving {', '.join(blamed[:count])} in float32")
        made, accuracy = measured(blamed[:count])
        if accuracy.passed:
            return made, accuracy
    worst = ", ".join(f"{name} ({harm[name]:.1%})" for name in blamed[: _TRIED_IN_FLOAT[-1]])
    raise ParityError(
        f"no file written: {accuracy.describe()}, even with the layers left in float32 that move"
        f" the logits most: {worst}",
        "--precision fp32",
    )


def converted(
    model: ir.Model, precision: Precision, ranges: Mapping[str, Range], in_float: Sequence[str] = ()
) -> ir.Model:
    """A copy in fp16 or int8, whatever that costs.

    Args:
        model: in float32.
        precision: of the trunk.
        ranges: for int8, from ``activation_ranges``.
        in_float: layers that stay in float32.
    """
    copy = ir.from_proto(ir.to_proto(model))
    if precision == "int8":
        quantise(copy, ranges, in_float)
    else:
        halve(copy, in_float)
    shrink(copy, eight_bits=precision == "int8")
    tidy(copy)
    return copy


def activation_ranges(model: ir.Model, windows: Iterable[Batch[None]]) -> dict[str, Range]:
    """Smallest and largest value over the windows of every tensor that is to be quantised."""
    watched = ir.from_proto(ir.to_proto(model))
    names = activations(watched)
    values = {value.name: value for node in watched.graph for value in node.outputs}
    for name in names:
        values[name].type = ir.TensorType(ir.DataType.FLOAT)
        watched.graph.outputs.append(values[name])
    session, _ = open_session(serialise(watched), "cpu", available_processors())
    low, high = np.zeros(len(names)), np.zeros(len(names))
    for batch in windows:
        found = session.run(names, {"pcm": batch.pcm, "lengths": batch.lengths})
        low = np.minimum(low, [tensor.min() for tensor in found])
        high = np.maximum(high, [tensor.max() for tensor in found])
    return dict(zip(names, zip(low.tolist(), high.tolist(), strict=True), strict=True))


def _sensitivity(
    model: ir.Model, lowered: Callable[[Sequence[str]], ir.Model], windows: Sequence[Batch[None]]
) -> dict[str, float]:
    """How far each layer alone in lower precision moves the logits, relative to their spread."""

    def logits(which: ir.Model) -> np.ndarray:
        session, _ = open_session(serialise(which), "cpu", available_processors())
        feeds = ({"pcm": batch.pcm, "lengths": batch.lengths} for batch in windows)
        return np.concatenate([session.run(["logits"], feed)[0] for feed in feeds])

    names = list(layers(model))
    expected = logits(model)
    spread = float(expected.std())
    harm = {}
    for name in names:
        found = logits(lowered([other for other in names if other != name]))
        error = float(np.sqrt(((found - expected) ** 2).mean())) / spread
        harm[name] = error if np.isfinite(error) else np.inf
    return harm
