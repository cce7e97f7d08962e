"""The parity gate of a fold: bands next to other implementations, embeddings next to the network.

Shapes: W samples of a window, T frames, M bands, E embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from voxedge.export.fold.clips import Clips
from voxedge.export.fold.compose import Network
from voxedge.export.fold.frontends import Settings
from voxedge.export.fold.reference import Floats, Reference
from voxedge.export.serialise import serialise

from voxedge.audio.limits import Samples
from voxedge.audio.windows import make_batch
from voxedge.errors import ModelError, ParityError
from voxedge.inference.runtime import onnxruntime
from voxedge.inference.session import open_session
from voxedge.threads import available_processors

BANDS = 1e-3  # largest difference of a band's logarithm, or of a sample
COSINE = 0.9999  # smallest, of embeddings
#: Bands are compared that are less than this below the loudest of their frame, in nepers of energy
#: (61 dB): a float32 spectrum, that of the references included, is not exact further down.
RANGE = 14.0
_BATCH = 3


class FoldSummary(TypedDict):
    """A ``FoldParity`` in the metadata."""

    reference: str
    runtime: str
    clips: int
    speech: str
    tolerance: dict[str, float]
    bands: float
    cosine: float


@dataclass(frozen=True)
class FoldParity:
    """How close a folded graph is to the front end and the network that it was made of."""

    reference: str
    clips: int
    speech: str  # ``recordings`` or ``synthetic``
    bands: float  # largest difference, in units of the bands' logarithm
    cosine: float  # smallest

    def check(self) -> None:
        """Refuse a graph that differs.

        Raises:
            ParityError: it does.
        """
        if not (self.bands <= BANDS and self.cosine >= COSINE):
            raise ParityError(
                f"no file written: next to {self.reference} on {self.clips} clips ({self.speech})"
                f" bands differ by {self.bands:.1e}, allowed {BANDS:.0e}, and the smallest cosine"
                f" of embeddings is {self.cosine:.6f}, allowed {COSINE}"
            )

    def summary(self) -> FoldSummary:
        """The JSON form, for the metadata."""
        return {
            "reference": self.reference,
            "runtime": f"onnxruntime {onnxruntime.__version__}",
            "clips": self.clips,
            "speech": self.speech,
            "tolerance": {"bands": BANDS, "cosine": COSINE},
            "bands": float(f"{self.bands:.1e}"),
            "cosine": round(self.cosine, 6),
        }


def measure(
    front: ir.Model,
    folded: ir.Model,
    network: Network,
    settings: Settings,
    window: int,
    clips: Clips,
) -> FoldParity:
    """Run graph and references on the first window of each clip, alone and in batches.

    Args:
        front: the front end's graph, which gives ``features``.
        folded: the whole graph.
        network: what stands behind the front end.
        settings: of the front end.
        window: W.
        clips: what to run on; a short one is repeated to fill the window.

    Raises:
        ModelError: ONNX Runtime refuses the network.
    """
    sessions = [
        open_session(serialise(model), "cpu", available_processors())[0]
        for model in (front, folded)
    ]
    references = settings.references()
    behind = _Behind(network)
    bands, cosine = 0.0, 1.0
    for clip in clips.samples:
        part = clip[:window]
        filled = np.resize(part, window)
        feeds = {"pcm": part[None], "lengths": np.array([len(part)])}
        (features,) = sessions[0].run(["features"], feeds)[0].astype(np.float64)
        (embedding,) = sessions[1].run(["embedding"], {"pcm": part[None]})[0]
        expected = _expected(references, filled, settings)
        bands = max([bands, *(_difference(features, raw, settings) for raw in expected)])
        trusted = _normed(expected[0], settings)
        cosine = min(cosine, _cosine(embedding, behind(trusted)))
    cosine = min([cosine, *_in_batches(sessions[1], clips.samples, window)])
    return FoldParity(" and ".join(references), len(clips.samples), clips.speech, bands, cosine)


class _Behind:
    """The network as it came, on features of one window."""

    def __init__(self, network: Network) -> None:
        self._session, _ = open_session(
            network.model.SerializeToString(), "cpu", available_processors()
        )
        self._network = network

    def __call__(self, features: Floats) -> npt.NDArray[np.float32]:
        ready = self._network.arranged(features.astype(np.float32)[None])
        try:
            (embedding,) = self._session.run([self._network.output], {self._network.input: ready})
        except Exception as error:  # noqa: BLE001 - ONNX Runtime raises a dozen types
            raise ModelError(f"ONNX Runtime cannot run the network: {str(error)[:300]}") from None
        flat: npt.NDArray[np.float32] = embedding.reshape(-1)
        return flat


def _expected(
    references: Mapping[str, Reference], window: Samples, settings: Settings
) -> list[Floats]:
    found = [reference(window) for reference in references.values()]
    if len({features.shape for features in found}) != 1:
        raise ParityError(f"no file written: {settings.name}: references of different shapes")
    return found


def _normed(raw: Floats, settings: Settings) -> Floats:
    return raw - raw.mean(axis=0) if settings.mean_norm else raw


def _difference(features: Floats, raw: Floats, settings: Settings) -> float:
    """Largest difference from a reference without its mean taken off, in units of a logarithm."""
    expected = _normed(raw, settings)
    if features.shape != expected.shape or not np.isfinite(features).all():
        return float("inf")
    if settings.unit is None:
        return float(np.abs(features - expected).max() / max(np.abs(expected).max(), 1e-12))
    loud = raw > raw.max(axis=1, keepdims=True) - RANGE * settings.unit
    return float(np.abs(features - expected)[loud].max() / settings.unit)


def _in_batches(session: Any, clips: Sequence[Samples], window: int) -> Iterator[float]:  # noqa: ANN401
    """Cosines of the embeddings of clips in a batch and alone: rows must not touch each other."""
    for start in range(0, len(clips), _BATCH):
        parts = [clip[:window] for clip in clips[start : start + _BATCH]]
        batch = make_batch([(None, part) for part in parts], window)
        feeds = {"pcm": batch.pcm, "lengths": batch.lengths}
        together = session.run(["embedding"], feeds)[0]
        for part, row in zip(parts, together, strict=True):
            yield _cosine(row, session.run(["embedding"], {"pcm": part[None]})[0][0])


def _cosine(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    a, b = one.astype(np.float64), other.astype(np.float64)
    cosine = float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))
    return cosine if np.isfinite(cosine) else -1.0
