"""From a gallery and its model file to one file that answers with the people's names.

Behind the embedding come the people's embeddings as one layer: cosines, logits (the cosines times
the scale of the gallery's log-odds), probabilities. Nothing is trained; what a threshold in cosines
means is what it means as log-odds of the best logit.

Shapes: B batch, S samples, E embedding, P people, C clips.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch
from onnx import load as load_onnx
from voxedge.export import parity
from voxedge.export.fold.clips import Clips, evenly, recorded_clips, synthetic_clips
from voxedge.export.fold.pipeline import write_sealed
from voxedge.export.passes.tidy import tidy
from voxedge.export.serialise import serialise

from voxedge.audio.limits import Samples
from voxedge.errors import ParityError, UsageError
from voxedge.gallery.calibration import LogOdds
from voxedge.gallery.gallery import Gallery
from voxedge.gallery.people import Contents, Floats
from voxedge.gallery.recognition import require_people
from voxedge.gallery.search import EXACT_UP_TO
from voxedge.gallery.thresholds import calibration, log_odds, threshold
from voxedge.inference.identifier import Identifier
from voxedge.inference.open_set import SHARES, OpenSetRecord
from voxedge.inference.prediction import Threshold
from voxedge.metrics import softmax
from voxedge.model_file.metadata import GalleryDescription, Metadata

_FULL_SCALE = 32_768  # of kept samples
_PCM = {"dtype": "float32", "channels": 1}


@dataclass(frozen=True)
class ExportedPeople:
    """A model file that was written."""

    path: Path
    bytes: int
    metadata: Metadata
    parity: list[parity.Row]
    clips: Clips  # on which it was compared with the gallery


def export_people(
    gallery: Gallery,
    path: Path,
    *,
    data: Path | None = None,
    licence: str = "",
    say: Callable[[str], None] = lambda _: None,
) -> ExportedPeople:
    """Write a gallery and the model file that it belongs to as one file, names out.

    Args:
        gallery: with the model file.
        path: the file to write.
        data: a corpus to compare both on; without one the kept clips of the people, and synthetic
            voices.
        licence: of the file; by default that of the model file.
        say: gets a line for each step.

    Raises:
        EmptyGallery: nobody is enrolled.
        ForeignModel: the gallery was made with another model file.
        UsageError: one person, too many, no log-odds, or the model file takes other samples than
            mono float32.
        ParityError: the file answers differently; nothing is written.
    """
    odds = _require_fit(gallery, path)
    model, contents = gallery.identifier, gallery.contents
    clips = _clips(gallery, data)
    say(f"adding {len(contents.people)} people to {model.model_file.path.name}")
    graph = add_people(load_graph(model.model_file.path), contents.means, odds.scale)
    lines = {share: line for share in SHARES if (line := threshold(contents, share))}
    metadata = _metadata(contents, model.metadata, lines, odds, licence)
    say(f"comparing with the gallery on {len(clips.samples)} clips ({clips.speech})")
    with tempfile.TemporaryDirectory() as folder:
        tried = Path(folder) / path.name
        write_sealed(graph, metadata, tried)
        named = Identifier(tried, device="cpu", any_sound=True)
        rows = parity.measure(_Scored(model, contents, odds), serialise(graph), clips.samples)
        rows.append(_whole_clips(model, named, contents, lines, odds, clips.samples))
    parity.check(rows)
    measured = {**parity.summary(rows, "identify --gallery"), "speech": clips.speech}
    size = write_sealed(graph, replace(metadata, parity=measured), path)
    return ExportedPeople(path, size, replace(metadata, parity=measured), rows, clips)


def load_graph(path: Path) -> ir.Model:
    """The graph of a model file, without its metadata."""
    model = ir.from_proto(load_onnx(path))
    model.metadata_props.clear()
    return model


def add_people(model: ir.Model, means: Floats, scale: float) -> ir.Model:
    """Put people behind the embedding, in place of whatever else the graph answers with.

    Args:
        model: a graph with the output ``embedding``; it is changed.
        means: [P, E], of unit length.
        scale: of the cosines.
    """
    graph = model.graph
    embedding = next(value for value in graph.outputs if value.name == "embedding")
    graph.outputs.clear()
    graph.outputs.append(embedding)
    tidy(model)  # also a head for other speakers
    constants = {"people": means.T.copy(), "people_scale": np.array(scale, np.float32)}
    people, factor = (_constant(graph, name, value) for name, value in constants.items())
    cosines = _append(graph, "MatMul", [embedding, people], "cosines", len(means))
    logits = _append(graph, "Mul", [cosines, factor], "logits", len(means))
    probabilities = _append(graph, "Softmax", [logits], "probabilities", len(means))
    graph.outputs[:] = [logits, probabilities, embedding, cosines]
    return model


class _Scored:
    """The model file's embeddings, compared with the people by NumPy: what the graph must give."""

    def __init__(self, model: Identifier, contents: Contents, odds: LogOdds) -> None:
        self._model, self._means, self._odds = model, contents.means, odds
        self.window = model.metadata.window

    def __call__(self, pcm: torch.Tensor, lengths: torch.Tensor) -> Sequence[torch.Tensor]:
        embedding = self._model.run(pcm.numpy(), lengths.numpy()).embedding
        found = _scored(embedding, self._means, self._odds)
        return [torch.from_numpy(value) for value in found]


def _scored(embedding: Floats, means: Floats, odds: LogOdds) -> tuple[Floats, Floats, Floats]:
    """Logits, probabilities and embedding of embeddings [C, E]."""
    logits = (np.float32(odds.scale) * (embedding @ means.T)).astype(np.float32)
    return logits, softmax(logits).astype(np.float32), embedding


def _whole_clips(
    model: Identifier,
    named: Identifier,
    contents: Contents,
    lines: dict[float, Threshold],
    odds: LogOdds,
    clips: Sequence[Samples],
) -> parity.Row:
    """Compare the answers for whole clips, of several windows among them.

    Raises:
        ParityError: a clip is unknown to one of them, and named by the other.
    """
    before = [each for each in model.score(enumerate(clips)) if each.windows]
    after = [each for each in named.score(enumerate(clips)) if each.windows]
    if [each.key for each in before] != [each.key for each in after] or not before:
        raise ParityError("no file written: both do not hear the same clips")
    embedding = np.stack([each.embedding for each in before])
    expected = _scored(embedding, contents.means, odds)
    actual = tuple(
        np.stack([getattr(each, name) for each in after]).astype(np.float32)
        for name in ("logits", "probabilities", "embedding")
    )
    row = parity.compare("whole clips", list(zip(expected, actual, strict=True)))
    _compare_unknown(named, expected[0], actual[0], lines, odds.scale)
    return row


def _compare_unknown(
    named: Identifier,
    expected: Floats,
    actual: Floats,
    lines: dict[float, Threshold],
    scale: float,
) -> None:
    """Refuse a file to which others are unknown than to the gallery.

    Args:
        named: the file.
        expected: logits [C, P] by the gallery.
        actual: by the file.
        lines: the gallery's thresholds.
        scale: of the logits.

    Raises:
        ParityError: they differ, and not by rounding.
    """
    assert named.answers.open_set is not None
    odds = named.answers.open_set.log_odds(
        actual, np.ones(len(actual))
    )  # the length does not count
    for share, line in lines.items():
        least, lead = (
            named.answers.open_set.threshold(share),
            expected.max(axis=1) - scale * line.cosine,
        )
        assert least is not None
        apart = ((lead >= 0) != (odds >= least)) & (np.abs(lead) > parity.TOLERANCE)
        if apart.any():
            raise ParityError(
                f"no file written: for {100 * share:g} % of strangers {apart.sum()} of"
                f" {len(apart)} clips are unknown to one of gallery and file, but not to the other"
            )


def _require_fit(gallery: Gallery, path: Path) -> LogOdds:
    """The log-odds of a gallery that can be exported to a path.

    Raises:
        EmptyGallery, ForeignModel, UsageError: it cannot.
    """
    gallery.require_own_model()
    contents, model = gallery.contents, gallery.identifier
    require_people(len(contents.people), gallery.path.name)
    file, people = model.model_file.path, len(contents.people)
    if path.resolve() in (file.resolve(), gallery.path.resolve()):
        raise UsageError(
            f"{path} is what the file is made of, and would be lost", "write another file"
        )
    if people == 1:
        raise UsageError(
            f"one person is enrolled in {gallery.path.name}, and a file of names takes two or more",
            f"voxedge verify {contents.names[0]!r} CLIP --gallery {gallery.path.name}",
        )
    if people > EXACT_UP_TO:
        raise UsageError(f"{people:,} people; a file takes up to {EXACT_UP_TO:,}")
    if {"dtype": model.metadata.dtype, "channels": model.metadata.channels} != _PCM:
        raise UsageError(f"{file.name} takes other samples than mono float32")
    odds = log_odds(contents)
    if odds is None:
        raise UsageError(
            f"no calibration is known for {file.name}, and without one a cosine is no probability",
            "voxedge gallery calibrate DATA",
        )
    return odds


def _metadata(
    contents: Contents,
    model: Metadata,
    lines: dict[float, Threshold],
    odds: LogOdds,
    licence: str,
) -> Metadata:
    """The metadata of the file, but for the parity."""
    gallery: GalleryDescription = {
        "model": contents.model.digest,
        "scale": odds.scale,
        "offset": odds.offset,
        "thresholds": {f"{share:g}": line.to_dict() for share, line in lines.items()},
    }
    return replace(
        model,
        labels=contents.names,
        temperature=1.0,
        thresholds={**_open_set(contents, lines, odds)},
        gallery={**gallery},
        metrics={},  # of other speakers
        licence=licence or model.licence,
        digest=Metadata.digest,
        schema=2,
    )


def _open_set(contents: Contents, lines: dict[float, Threshold], odds: LogOdds) -> OpenSetRecord:
    """The gallery's thresholds as log-odds of the best logit; not rounded, so that they are equal.

    A share has the threshold that ``identify --gallery`` has for it, which may be for a larger one
    if too little was measured; ``gallery`` in the metadata says for which.
    """
    people, known = len(contents.people), calibration(contents)
    own = any(line.basis == "people" for line in lines.values())
    clips = sum(len(person.clips) for person in contents.people) if own else 0
    return {
        "best": 1.0,
        "lead": 0.0,
        "log_seconds": 0.0,
        "bias": odds.of(0.0, people),
        "accept": {f"{share:g}": odds.of(line.cosine, people) for share, line in lines.items()},
        "clips": clips or (known.clips if known else 0),
        "basis": "people" if own else "strangers",
    }


def _clips(gallery: Gallery, data: Path | None) -> Clips:
    """The clips to compare on."""
    rate = gallery.identifier.sample_rate
    if data is not None:
        return recorded_clips(data, rate)
    kept = tuple(
        (clip.samples / np.float32(_FULL_SCALE)).astype(np.float32)
        for person in gallery.contents.people
        for clip in person.clips
        if clip.samples is not None
    )
    synthetic = synthetic_clips(rate)
    if not kept:
        return synthetic
    some = evenly(kept, len(synthetic.samples))
    return Clips((*some, *synthetic.samples), "kept clips and synthetic")


def _constant(graph: ir.Graph, name: str, value: npt.NDArray[np.float32]) -> ir.Value:
    tensor = ir.tensor(value.astype(np.float32), name=name)
    constant = ir.Value(
        name=name, const_value=tensor, shape=ir.Shape(value.shape), type=ir.TensorType(tensor.dtype)
    )
    graph.register_initializer(constant)
    return constant


def _append(
    graph: ir.Graph, operator: str, inputs: list[ir.Value], name: str, width: int
) -> ir.Value:
    """Add a node at the end; returns its output, [B, width]."""
    node = ir.node(operator, inputs, {"axis": 1} if operator == "Softmax" else {})
    (output,) = node.outputs
    output.name, output.dtype = name, ir.DataType.FLOAT
    output.shape = ir.Shape(["batch", width])
    graph.append(node)
    return output
