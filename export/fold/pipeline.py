"""From a network in ONNX to our model file: trace the front end, join, verify, seal, write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
from torch import nn
from voxedge.export.fold import parity
from voxedge.export.fold.clips import Clips
from voxedge.export.fold.compose import Network, fold
from voxedge.export.fold.frontends import Settings, check_window
from voxedge.export.fold.precision import (
    EmbeddingLoss,
    labelled_windows,
    lower_embedding_precision,
)
from voxedge.export.precision import Precision
from voxedge.export.serialise import serialise
from voxedge.export.trace import trace_module

from voxedge.audio.limits import MIN_SECONDS
from voxedge.errors import UsageError
from voxedge.files import atomic_write
from voxedge.inference.session import open_session
from voxedge.model_file.metadata import KEY, SCHEMA, Metadata
from voxedge.model_file.reader import read_model
from voxedge.model_file.seal import seal
from voxedge.threads import available_processors


@dataclass(frozen=True)
class Origin:
    """Where a network comes from, for the metadata."""

    licence: str = ""
    source: str = ""


_UNKNOWN = Origin()


@dataclass(frozen=True)
class Folded:
    """A model file that was written."""

    path: Path
    bytes: int
    metadata: Metadata
    parity: parity.FoldParity
    loss: EmbeddingLoss | None  # of a lower precision


def fold_network(
    network: Network,
    settings: Settings,
    path: Path,
    *,
    window_seconds: float,
    clips: Clips,
    origin: Origin = _UNKNOWN,
    min_seconds: float = MIN_SECONDS,
    precision: Precision = "fp32",
    data: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Folded:
    """Put a front end before a network and write our model file of embeddings.

    Args:
        network: what ``read_network`` gave.
        settings: of the front end.
        path: the file to write.
        window_seconds: what the file takes at once.
        clips: to verify on, at the front end's rate.
        origin: of the network.
        min_seconds: a shorter clip is refused.
        precision: of the network.
        data: a corpus to calibrate and measure a lower precision on.
        say: gets a line for each step.

    Raises:
        UsageError: front end, window and network do not fit.
        CorpusError: the corpus has too few usable clips.
        ParityError: the graph differs from its parts, or the precision loses too much; nothing is
            written.
    """
    if precision != "fp32" and data is None:
        raise UsageError(f"--precision {precision} is calibrated and measured on clips", "--data")
    window, frontend = _build(settings, window_seconds)
    say("tracing the front end")
    front = trace_front(frontend, window)
    say("joining it and the network")
    model = fold(front, frontend.shape, network)
    say(f"comparing with the references on {len(clips.samples)} clips ({clips.speech})")
    found = parity.measure(front, model, network, settings, window, clips)
    found.check()
    metadata = _metadata(settings, window_seconds, min_seconds, model, found, origin)
    loss = None
    if precision != "fp32":
        assert data is not None
        labelled = labelled_windows(data, window, settings.sample_rate)
        model, loss = lower_embedding_precision(model, precision, labelled, window, say)
        measured = metadata.parity | {"accuracy": loss.summary()}
        metadata = replace(metadata, precision=precision, parity=measured)
    return Folded(path, write_sealed(model, metadata, path), read_model(path).metadata, found, loss)


def _metadata(
    settings: Settings,
    window_seconds: float,
    min_seconds: float,
    model: ir.Model,
    found: parity.FoldParity,
    origin: Origin,
) -> Metadata:
    """The metadata of a float32 file."""
    return Metadata(
        labels=(),
        sample_rate=settings.sample_rate,
        window_seconds=window_seconds,
        min_seconds=min(min_seconds, window_seconds),
        embedding_dim=_embedding_dim(model),
        temperature=1.0,
        input={"dtype": "float32", "rate": settings.sample_rate, "channels": 1},
        frontend=describe(settings),
        parity={**found.summary()},
        training={"versions": {"torch": torch.__version__, "onnx": onnx.__version__}},
        licence=origin.licence,
        source=origin.source,
        schema=SCHEMA,
    )


def frames_of(settings: Settings, window_seconds: float) -> int:
    """How many frames (or samples) of a window a network gets from a front end.

    Raises:
        UsageError: an impossible window.
    """
    frames: int = _build(settings, window_seconds)[1].shape[0]
    return frames


def _build(settings: Settings, window_seconds: float) -> tuple[int, Any]:
    """W, and the front end for it."""
    check_window(window_seconds)
    window = round(window_seconds * settings.sample_rate)
    return window, settings.build(window)


def trace_front(frontend: nn.Module, window: int) -> ir.Model:
    """The graph of a front end: ``pcm``, ``lengths`` -> ``features``."""
    example = (torch.zeros(2, window + 1), torch.tensor([window]))
    return trace_module(frontend, example, ["features"])


def describe(settings: Settings) -> dict[str, Any]:
    """The settings in JSON, for the metadata."""
    return {"name": settings.name, **asdict(settings)}


def _embedding_dim(model: ir.Model) -> int:
    session, _ = open_session(serialise(model), "cpu", available_processors())
    (embedding,) = session.run(["embedding"], {"pcm": np.zeros((1, 1), np.float32)})
    return int(embedding.shape[1])


def write_sealed(model: ir.Model, metadata: Metadata, path: Path) -> int:
    """Write a model file; returns its size in bytes."""
    model.metadata_props[KEY] = metadata.to_json()
    sealed = seal(serialise(model))
    with atomic_write(path) as file:
        file.write(sealed)
    return len(sealed)
