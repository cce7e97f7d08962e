"""From a distilled student to a model file of embeddings: trace, verify, lower precision, write.

Shapes: W samples of a window, E embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypedDict

import numpy as np
import onnx
import onnx_ir as ir
import torch
from voxedge.export.fold.clips import Clips, recorded_clips, synthetic_clips
from voxedge.export.fold.pipeline import write_sealed
from voxedge.export.fold.precision import (
    EmbeddingLoss,
    embed,
    labelled_windows,
    lower_embedding_precision,
)
from voxedge.export.passes import PASSES
from voxedge.export.pipeline import folder_names
from voxedge.export.precision import Precision
from voxedge.export.trace import trace_module

from voxedge.audio.limits import MIN_SECONDS
from voxedge.audio.windows import batches
from voxedge.errors import ParityError, UsageError
from voxedge.inference.runtime import onnxruntime
from voxedge.model_file.metadata import SCHEMA, Metadata
from voxedge.model_file.reader import read_model
from voxedge.nn.embedding_net import EmbeddingNet
from voxedge.train.build import build_frontend
from voxedge.train.checkpoint import load_checkpoint, refuse_other_signal_path, restore_module
from voxedge.train.recipe import Recipe
from voxedge.train.weights import build_trunk

TOLERANCE = 1e-3  # largest difference of a value of a unit embedding
_BATCH_SIZES = (1, 3)


class StudentParity(TypedDict):
    """How close the graph is to the network, for the metadata."""

    reference: str
    runtime: str
    tolerance: float
    clips: int
    speech: str
    embedding: float


@dataclass(frozen=True)
class ExportedStudent:
    """A model file of embeddings that was written."""

    path: Path
    bytes: int
    metadata: Metadata
    parity: StudentParity
    loss: EmbeddingLoss | None  # of a lower precision


def export_student(
    checkpoint: Path,
    path: Path,
    *,
    precision: Precision = "fp32",
    data: Path | None = None,
    licence: str = "",
    source: str = "",
    say: Callable[[str], None] = lambda _: None,
) -> ExportedStudent:
    """Write a student as one model file of embeddings.

    Args:
        checkpoint: ``student.safetensors`` of a distillation.
        path: the file to write.
        precision: of the trunk's convolutions.
        data: a corpus to compare PyTorch and ONNX Runtime on, and to calibrate and measure a lower
            precision on; without one they are compared on synthetic voices.
        licence: of the file, for its metadata.
        source: what the student learned from, for the metadata.
        say: gets a line for each step.

    Raises:
        RunError: it is no checkpoint of a student, or damaged.
        UsageError: a lower precision without clips.
        ParityError: the graph differs, or the precision loses too much; nothing is written.
    """
    if precision != "fp32" and data is None:
        raise UsageError(f"--precision {precision} is calibrated and measured on clips", "--data")
    net, recipe, versions = load_student(checkpoint)
    window, rate = net.frontend.window.samples, recipe.frontend.sample_rate
    clips = recorded_clips(data, rate) if data else synthetic_clips(rate)
    say("tracing the network, front end included")
    example = (torch.zeros(2, window + 1), torch.tensor([window]))
    model = trace_module(net, example, ["embedding"])
    for apply in PASSES:
        apply(model)
    model.producer_name, model.producer_version = "voxedge", ""
    say(f"comparing ONNX Runtime with PyTorch on {len(clips.samples)} clips ({clips.speech})")
    found = _parity(net, model, clips)
    frontend = recipe.frontend
    metadata = Metadata(
        labels=(),
        sample_rate=frontend.sample_rate,
        window_seconds=frontend.window_seconds,
        min_seconds=min(MIN_SECONDS, frontend.window_seconds),
        embedding_dim=embed(model, [np.zeros(window, np.float32)], window).shape[1],
        temperature=1.0,
        input={"dtype": "float32", "rate": frontend.sample_rate, "channels": 1},
        frontend=asdict(frontend),
        parity={**found},
        training={
            "recipe": recipe.with_values(folder_names(recipe)).to_dict(),
            "versions": versions | {"onnx": onnx.__version__},
        },
        licence=licence,
        source=source,
        schema=SCHEMA,
    )
    loss = None
    if precision != "fp32":
        assert data is not None
        labelled = labelled_windows(data, window, rate)
        model, loss = lower_embedding_precision(
            model, precision, labelled, window, say, ends_in_float=False
        )
        measured = metadata.parity | {"accuracy": loss.summary()}
        metadata = replace(metadata, precision=precision, parity=measured)
    size = write_sealed(model, metadata, path)
    return ExportedStudent(path, size, read_model(path).metadata, found, loss)


def load_student(checkpoint: Path) -> tuple[EmbeddingNet, Recipe, dict[str, str]]:
    """The network of a student's checkpoint, in evaluation mode; its recipe; the versions.

    Raises:
        RunError: it is no such checkpoint, or of another front end.
    """
    found = load_checkpoint(checkpoint)
    refuse_other_signal_path(found, checkpoint)
    recipe = Recipe.from_dict(found.state["recipe"])
    trunk, _ = build_trunk(recipe.model, "random", image_rows=recipe.frontend.image_size)
    restore_module("net.trunk", trunk, found)
    net = EmbeddingNet(build_frontend(recipe.frontend), trunk).eval()
    return net, recipe, found.state["versions"]


def _parity(net: EmbeddingNet, model: ir.Model, clips: Clips) -> StudentParity:
    """Compare the first windows of clips, in batches of several sizes.

    Raises:
        ParityError: they differ.
    """
    window, differences = net.frontend.window.samples, []
    first = [clip[:window] for clip in clips.samples]
    graph = embed(model, first, window)
    for size in _BATCH_SIZES:
        rows = []
        for batch in batches([(None, clip) for clip in first], size, window):
            with torch.inference_mode():
                rows.append(net(torch.from_numpy(batch.pcm), torch.from_numpy(batch.lengths)))
        differences.append(np.abs(torch.cat(rows).numpy() - graph).max())
    largest = float(np.max(differences))  # unlike Python's max, it is NaN if one is
    if not largest <= TOLERANCE:
        raise ParityError(
            f"no file written: embeddings of ONNX Runtime differ from PyTorch's by {largest:.1e},"
            f" allowed {TOLERANCE:.0e}, on {len(clips.samples)} clips ({clips.speech})"
        )
    return {
        "reference": "PyTorch",
        "runtime": f"onnxruntime {onnxruntime.__version__}",
        "tolerance": TOLERANCE,
        "clips": len(clips.samples),
        "speech": clips.speech,
        "embedding": float(f"{largest:.1e}"),
    }
