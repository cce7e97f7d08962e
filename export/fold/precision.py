"""Lower precision of a folded graph: calibrated, measured, and refused if it loses too much.

What is measured is what embeddings are for: clips of known speakers are named after the nearest
mean of some other clips of each, in float32 and in the lower precision. And the cosine between the
embeddings of the two, since files of both may be asked about the same gallery.

Shapes: W samples of a window, N clips, E embedding.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from voxedge.export.accuracy import ALLOWED
from voxedge.export.fold.clips import decode, evenly
from voxedge.export.passes.quantise import Range, layers
from voxedge.export.precision import Precision, activation_ranges, convert_precision
from voxedge.export.serialise import serialise

from voxedge.audio.limits import Samples
from voxedge.audio.windows import active_windows, batches
from voxedge.data.clips import Clip
from voxedge.data.manifest import read_manifest
from voxedge.errors import CorpusError, ParityError
from voxedge.inference.session import open_session
from voxedge.threads import available_processors

MEAN_COSINE = 0.98  # least, of embeddings in float32 and in the lower precision
_SPEAKERS, _CLIPS_OF_EACH = 50, 8  # at most
_CALIBRATION_CLIPS = 128  # at most
_SENSITIVITY_CLIPS = 6
_LAYERS_TRIED_IN_FLOAT = (4, 8, 16)
_BATCH_SIZE = 8
_Floats: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LabelledWindows:
    """One window of each clip: enrolled speakers, and clips to be named after them."""

    enrolled: tuple[Samples, ...]
    enrolled_speakers: tuple[str, ...]
    asked: tuple[Samples, ...]
    asked_speakers: tuple[str, ...]


class EmbeddingLossSummary(TypedDict):
    """An ``EmbeddingLoss`` in the metadata."""

    reference: str
    clips: int
    speakers: int
    cosine: float
    smallest_cosine: float
    float32: float
    lowered: float
    allowed: int
    in_float: list[str]


@dataclass(frozen=True)
class EmbeddingLoss:
    """What the embeddings of a lower precision lose, relative to float32."""

    precision: str
    clips: int
    speakers: int
    cosine: float  # mean
    smallest_cosine: float
    hits: tuple[int, int]  # clips named right in float32, and in the lower precision
    in_float: tuple[str, ...] = ()  # layers that stayed in float32

    @property
    def allowed(self) -> int:
        """The number of clips that may be named wrong in addition."""
        return max(1, int(ALLOWED[1] * self.clips))

    @property
    def passed(self) -> bool:
        """Whether no more is lost than allowed."""
        before, after = self.hits
        return self.cosine >= MEAN_COSINE and before - after <= self.allowed

    def describe(self) -> str:
        """The loss in words."""
        before, after = (hits / self.clips for hits in self.hits)
        return (
            f"cosine to float32 {self.cosine:.4f} on average ({MEAN_COSINE} allowed), smallest"
            f" {self.smallest_cosine:.4f}; named right {before:.1%} in float32 and {after:.1%} in"
            f" {self.precision} ({self.clips} clips of {self.speakers} speakers)"
        )

    def summary(self) -> EmbeddingLossSummary:
        """The JSON form, for the metadata."""
        before, after = (round(hits / self.clips, 6) for hits in self.hits)
        return {
            "reference": "float32",
            "clips": self.clips,
            "speakers": self.speakers,
            "cosine": round(self.cosine, 4),
            "smallest_cosine": round(self.smallest_cosine, 4),
            "float32": before,
            "lowered": after,
            "allowed": self.allowed,
            "in_float": list(self.in_float),
        }


def labelled_windows(data: Path, window: int, rate: int) -> LabelledWindows:
    """One window of some clips of a corpus; every second clip of a speaker is enrolled.

    Raises:
        CorpusError: fewer than two speakers have two usable clips each.
    """
    by_speaker: defaultdict[str, list[Clip]] = defaultdict(list)
    for clip in read_manifest(data).clips:
        by_speaker[clip.speaker].append(clip)
    several = sorted(speaker for speaker, clips in by_speaker.items() if len(clips) > 1)
    sides: tuple[list[tuple[str, Samples]], ...] = ([], [])
    for speaker in evenly(several, _SPEAKERS):
        decoded = (decode(clip, rate) for clip in evenly(by_speaker[speaker], _CLIPS_OF_EACH))
        parts = [
            part
            for samples in decoded
            if samples is not None
            for part in active_windows(samples, window, rate, "first")
        ]
        for number, part in enumerate(parts if len(parts) > 1 else ()):
            sides[number % 2].append((speaker, part))
    if len({speaker for speaker, _ in sides[1]}) < 2:
        raise CorpusError(f"{data}: fewer than two speakers have two usable clips each")
    (speakers, enrolled), (asked_speakers, asked) = (zip(*side, strict=True) for side in sides)
    return LabelledWindows(enrolled, speakers, asked, asked_speakers)


def lower_embedding_precision(
    model: ir.Model,
    precision: Precision,
    clips: LabelledWindows,
    window: int,
    say: Callable[[str], None],
    ends_in_float: bool = True,
) -> tuple[ir.Model, EmbeddingLoss]:
    """Convert a graph of embeddings to fp16 or int8 and measure what that loses.

    If too much is lost in int8, the most sensitive layers stay in float32.

    Args:
        model: in float32; is not changed.
        precision: of the network's convolutions.
        clips: to measure on; the enrolled ones calibrate.
        window: W.
        say: gets a line for each step.
        ends_in_float: whether in int8 the first layer and the last stay in float32 in any case.

    Raises:
        ParityError: too much is lost even so.
    """
    some = evenly(clips.enrolled, _CALIBRATION_CLIPS)
    ranges: dict[str, Range] = {}
    if precision == "int8":
        say(f"calibrating on {len(some)} clips")
        ranges = activation_ranges(
            model, batches([(None, clip) for clip in some], _BATCH_SIZE, window)
        )
    reference = _Named(model, clips, window)
    names = list(layers(model))
    kept = ends_of_network(model, precision) if ends_in_float else ()

    def convert(in_float: Sequence[str]) -> tuple[ir.Model, EmbeddingLoss]:
        say(f"measuring {precision} on {len(clips.asked)} clips")
        lowered = convert_precision(model, precision, ranges, in_float)
        return lowered, reference.loss(precision, lowered, in_float)

    lowered, loss = convert(kept)
    if loss.passed or precision != "int8":
        return _allowed(lowered, loss)
    say(f"{precision} costs too much ({loss.describe()}): looking for the layers to blame")
    few = evenly(clips.enrolled, _SENSITIVITY_CLIPS)
    errors = _sensitivity(model, ranges, few, window)
    ranked = [name for name in sorted(names, key=lambda name: -errors[name]) if name not in kept]
    for count in _LAYERS_TRIED_IN_FLOAT:
        lowered, loss = convert((*kept, *ranked[:count]))
        if loss.passed:
            break
    return _allowed(lowered, loss)


def ends_of_network(model: ir.Model, precision: Precision) -> tuple[str, ...]:
    """The layers of a folded network that stay in float32 in any case: in int8 its ends."""
    names = list(layers(model))
    return (*names[:1], *names[-1:]) if precision == "int8" else ()


def embed(model: ir.Model, clips: Sequence[Samples], window: int) -> _Floats:
    """Embeddings of the first window of each clip, [N, E]."""
    session, _ = open_session(serialise(model), "cpu", available_processors())
    rows: list[_Floats] = []
    for batch in batches([(None, clip) for clip in clips], _BATCH_SIZE, window):
        rows += session.run(["embedding"], {"pcm": batch.pcm, "lengths": batch.lengths})
    return np.concatenate(rows)


class _Named:
    """The embeddings of a graph, and how many clips are named right with them."""

    def __init__(self, model: ir.Model, clips: LabelledWindows, window: int) -> None:
        self._clips, self._window = clips, window
        self.asked, self.hits = self._named(model)

    def loss(self, precision: str, lowered: ir.Model, in_float: Sequence[str]) -> EmbeddingLoss:
        """What another graph loses next to this one."""
        asked, hits = self._named(lowered)
        cosines = (asked * self.asked).sum(axis=1)
        speakers = len(set(self._clips.asked_speakers))
        return EmbeddingLoss(
            precision,
            clips=len(asked),
            speakers=speakers,
            cosine=float(cosines.mean()),
            smallest_cosine=float(cosines.min()),
            hits=(self.hits, hits),
            in_float=tuple(in_float),
        )

    def _named(self, model: ir.Model) -> tuple[_Floats, int]:
        clips = self._clips
        enrolled = embed(model, clips.enrolled, self._window)
        asked = embed(model, clips.asked, self._window)
        names = sorted(set(clips.enrolled_speakers))
        own = np.array(clips.enrolled_speakers)
        means = np.stack([enrolled[own == name].mean(axis=0) for name in names])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        nearest = (asked @ means.T).argmax(axis=1)
        hits = sum(names[k] == name for k, name in zip(nearest, clips.asked_speakers, strict=True))
        return asked, hits


def _allowed(lowered: ir.Model, loss: EmbeddingLoss) -> tuple[ir.Model, EmbeddingLoss]:
    if not loss.passed:
        raise ParityError(f"no file written: {loss.describe()}", "--precision fp32")
    return lowered, loss


def _sensitivity(
    model: ir.Model, ranges: dict[str, Range], clips: Sequence[Samples], window: int
) -> dict[str, float]:
    """1 - the mean cosine of embeddings with one layer alone in int8, by layer."""
    names = list(layers(model))
    expected = embed(model, clips, window)
    errors = {}
    for name in names:
        others = [other for other in names if other != name]
        actual = embed(convert_precision(model, "int8", ranges, others), clips, window)
        error = float(1 - (actual * expected).sum(axis=1).mean())
        errors[name] = error if np.isfinite(error) else np.inf
    return errors
