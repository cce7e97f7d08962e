"""The whole way from a run to a model file: trace, verify, lower the precision, seal, write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
import torch
from voxedge.export import parity
from voxedge.export.accuracy import AccuracyLoss, validation_scores
from voxedge.export.clips import (
    OPEN_SET_CLIPS,
    LabelledClip,
    calibration_clips,
    impostor_clips,
    parity_clips,
    validation_clips,
)
from voxedge.export.fold.precision import ends_of_network
from voxedge.export.input_format import InputFormat, check_resampling, with_input_format
from voxedge.export.on_trunk import graph_on_trunk, precision_on_trunk
from voxedge.export.open_set import fit_open_set
from voxedge.export.passes import PASSES, Pass
from voxedge.export.precision import Precision, lower_precision
from voxedge.export.ragged import check_ragged, with_ragged_input
from voxedge.export.serialise import serialise
from voxedge.export.trace import trace

from voxedge.audio.limits import MIN_SECONDS, Samples
from voxedge.files import atomic_write
from voxedge.inference.scoring import LabelledScores
from voxedge.model_file.metadata import KEY, Metadata
from voxedge.model_file.reader import read_model
from voxedge.model_file.seal import seal
from voxedge.nn.speaker_net import ExportedNet
from voxedge.train.pretrained.network import PretrainedNet
from voxedge.train.recipe import Recipe
from voxedge.train.run import Run
from voxedge.train.trained import load_exported


@dataclass(frozen=True)
class Exported:
    """A model file that was written."""

    path: Path
    bytes: int
    metadata: Metadata
    parity: list[parity.Row]
    accuracy: AccuracyLoss | None  # of a lower precision


def export_run(
    run: Run,
    path: Path,
    *,
    data: Path | None = None,
    impostors: Path | None = None,
    licence: str = "",
    precision: Precision = "fp32",
    input_format: InputFormat | None = None,
    say: Callable[[str], None] = lambda _: None,
    passes: Sequence[Pass] = PASSES,
) -> Exported:
    """Write the best network of a finished run as one model file; the same run gives equal bytes.

    Args:
        run: a finished run.
        path: the file to write; an existing one is replaced only by one that passes.
        data: where the run's corpus lies now, if it moved.
        impostors: folder of clips of other people, to tell strangers by; without one the run's
            speakers are each other's strangers.
        licence: of the model, for its metadata.
        precision: of the trunk: ``fp32``, ``fp16`` or ``int8``.
        input_format: of the ``pcm`` input; None: mono float32 at the model's rate.
        say: gets a line for each step.
        passes: graph passes, in order.

    Raises:
        RunError: the run has not ended or is damaged.
        CorpusError: no clip of the run is left to show parity on.
        ParityError: the graph does not compute what the network computes, or the precision loses
            too much accuracy; nothing is written.
    """
    sample_rate = run.recipe().frontend.sample_rate
    input_format = input_format or InputFormat(sample_rate)
    input_format.check(sample_rate)
    net = load_exported(run, torch.device("cpu"))
    if isinstance(net, PretrainedNet):
        precision = precision_on_trunk(net.metadata.precision, precision)
    clips = parity_clips(run, data, sample_rate)
    say("tracing the network, front end included")
    model = _traced(run, net, passes)
    say(f"comparing ONNX Runtime with PyTorch on {len(clips)} clips")
    rows = parity.measure(net, serialise(model), clips)
    parity.check(rows)
    metadata, loss = _metadata(run, net, licence, rows), None
    if precision != metadata.precision:
        model, loss = _lower_precision(model, precision, net, run, data, say)
        found = metadata.parity | {"accuracy": loss.summary()}
        metadata = replace(metadata, precision=precision, parity=found)
    say("fitting how strangers are told from the speakers")
    metadata = replace(metadata, thresholds=_thresholds(model, run, data, impostors, net.window))
    if not input_format.is_plain(sample_rate):
        say(f"comparing the device's {input_format.rate} Hz with soxr's resampling")
        model, metadata = _convert_input(model, metadata, input_format, run, data)
    if input_format.ragged:
        say("comparing clips in one buffer with clips in padded rows")
        model, metadata = _concatenate_input(model, metadata, input_format, net.window, run, data)
    model.metadata_props[KEY] = metadata.to_json()
    sealed = seal(serialise(model))
    with atomic_write(path) as file:
        file.write(sealed)
    return Exported(path, len(sealed), read_model(path).metadata, rows, loss)


def _traced(run: Run, net: ExportedNet | PretrainedNet, passes: Sequence[Pass]) -> ir.Model:
    """The graph in float32, but for a trunk that came in a lower precision."""
    model = graph_on_trunk(run, net) if isinstance(net, PretrainedNet) else trace(net)
    for apply in passes:
        apply(model)
    model.producer_name, model.producer_version = "voxedge", ""
    return model


def _lower_precision(
    model: ir.Model,
    precision: Precision,
    net: ExportedNet | PretrainedNet,
    run: Run,
    data: Path | None,
    say: Callable[[str], None],
) -> tuple[ir.Model, AccuracyLoss]:
    return lower_precision(
        model,
        precision,
        calibration=calibration_clips(run, data),
        validation=partial(validation_clips, run, data),
        window=net.window,
        rate=run.recipe().frontend.sample_rate,
        temperature=net.temperature,
        say=say,
        in_float=ends_of_network(model, precision) if isinstance(net, PretrainedNet) else (),
    )


def _thresholds(
    model: ir.Model, run: Run, data: Path | None, impostors: Path | None, window: int
) -> dict[str, Any]:
    """``Metadata.thresholds``; empty if nobody can stand for a stranger."""
    graph, rate = serialise(model), run.recipe().frontend.sample_rate

    def score(clips: Iterable[LabelledClip]) -> LabelledScores:
        return validation_scores(graph, clips, window, rate)

    others: Iterable[Samples] = impostor_clips(impostors, rate) if impostors else ()
    found = fit_open_set(score, validation_clips(run, data, OPEN_SET_CLIPS), window, rate, others)
    return {**found.to_metadata()} if found else {}


def _convert_input(
    plain: ir.Model, metadata: Metadata, input_format: InputFormat, run: Run, data: Path | None
) -> tuple[ir.Model, Metadata]:
    """Graph and metadata that take the device's buffer, verified against soxr's resampling."""
    rate, window = metadata.sample_rate, metadata.window
    model = with_input_format(plain, input_format, rate, window)
    clips = parity_clips(run, data, input_format.rate)
    found = check_resampling(plain, model, input_format, rate, window, clips)
    return model, replace(
        metadata,
        sample_rate=input_format.rate,
        input=input_format.describe(),
        parity=metadata.parity | {"input": found},
    )


def _concatenate_input(
    padded: ir.Model,
    metadata: Metadata,
    input_format: InputFormat,
    window: int,
    run: Run,
    data: Path | None,
) -> tuple[ir.Model, Metadata]:
    """Graph and metadata that take the clips of a batch in one buffer, verified against rows."""
    model = with_ragged_input(padded, input_format, run.recipe().frontend.sample_rate, window)
    clips = parity_clips(run, data, input_format.rate)
    found = check_ragged(padded, model, input_format, list(metadata.outputs), clips)
    return model, replace(
        metadata,
        input=input_format.describe(),
        parity=metadata.parity | {"ragged": found},
    )


def _metadata(
    run: Run, net: ExportedNet | PretrainedNet, licence: str, rows: Sequence[parity.Row]
) -> Metadata:
    """The metadata of a file that takes samples at the model's rate, before its conversion."""
    recipe, metrics, corpus = run.recipe(), run.metrics(), run.corpus_info()
    frontend = recipe.frontend
    plain = Metadata(
        labels=run.labels(),
        sample_rate=frontend.sample_rate,
        window_seconds=frontend.window_seconds,
        min_seconds=min(MIN_SECONDS, frontend.window_seconds),
        embedding_dim=_embedding_dim(net),
        temperature=net.temperature,
        input=InputFormat(frontend.sample_rate).describe(),
        frontend=asdict(frontend),
        parity={**parity.summary(rows)},
        metrics={**(metrics["test"] or {})},
        training={
            "recipe": recipe.with_values(folder_names(recipe)).to_dict(),
            "data_digest": corpus["digest"],
            "clips": corpus["clips"],
            "epochs": metrics["epochs"],
            "best_epoch": metrics["best_epoch"],
            "versions": metrics["versions"] | {"onnx": onnx.__version__},
        },
        licence=licence,
    )
    if not isinstance(net, PretrainedNet):
        return plain
    trunk = net.metadata
    return replace(
        plain,
        min_seconds=trunk.min_seconds,
        frontend=trunk.frontend,
        precision=trunk.precision,
        licence=licence or trunk.licence,
        source=trunk.source,
        training=plain.training | {"trunk_digest": trunk.digest},
    )


def _embedding_dim(net: ExportedNet | PretrainedNet) -> int:
    if isinstance(net, PretrainedNet):
        return net.metadata.embedding_dim
    return net.net.head.in_features


def folder_names(recipe: Recipe) -> dict[str, str]:
    """The recipe's paths without their folders: a model file must not show the trainer's disk."""
    keys = ("model.trunk", "model.init", "augment.noise_folder", "augment.rooms_folder")
    return {key: Path(recipe.value(key)).name for key in keys}
