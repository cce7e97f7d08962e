"""The rivals: what one would try first, trained on the same clips as a run.

- ``mfcc-lda``: means and deviations of MFCCs over time, a linear discriminant with Ledoit-Wolf
  shrinkage (scikit-learn). 60 coefficients were best on a validation split, see
  docs/experiments.md.
- ``resemblyzer``: a network pretrained on 8,000 other speakers (Wan et al. 2018, "Generalized
  end-to-end loss for speaker verification"), and the nearest centroid of each speaker's clips.
- ``campplus``: CAM++, pretrained on 200,000 other speakers (Wang et al. 2023, arXiv 2303.00332),
  and the nearest centroid, as well. It is the one to beat.

Each is a ``voxedge.evaluation.model.Model``, so that ``voxedge compare`` can compare it with ours.
Shapes: N clips, D features, K classes, S samples.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import librosa
import numpy as np
import numpy.typing as npt
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from bench import campplus
from voxedge.audio.limits import Samples
from voxedge.audio.load import load_audio
from voxedge.data.clips import Clip
from voxedge.errors import MissingExtra
from voxedge.inference.scoring import ClipScores, Key, unit_length
from voxedge.metrics import softmax
from voxedge.train.temperature import fit_temperature

RATE = 16_000  # Hz; what Resemblyzer and CAM++ take

Name: TypeAlias = Literal["mfcc-lda", "resemblyzer", "campplus"]
Features: TypeAlias = npt.NDArray[np.floating]  # [N, D], or [D] of one clip
Classes: TypeAlias = npt.NDArray[np.int64]  # [N]
Describe: TypeAlias = Callable[[Samples], Features]  # [S] -> [D]
Classify: TypeAlias = Callable[[Features], Features]  # [N, D] -> probabilities [N, K]

_COEFFICIENTS = 60
_SCALE = 30.0  # of cosines, so that the best temperature is within the range of the search


@dataclass(frozen=True)
class Examples:
    """Features of clips, and their classes."""

    features: Features
    classes: Classes


@dataclass(frozen=True)
class Method:
    """Features of a clip, and a classifier of features."""

    load: Callable[[], Describe]
    fit: Callable[[Examples, Examples], Classify]  # on training and validation clips


@dataclass(frozen=True)
class Rival:
    """A trained rival.

    Args:
        labels: the speakers, in class order.
        describe: a clip's features.
        classify: probabilities of features.
        seconds: of training, without decoding.
        clips_per_second: of computing the features.
    """

    labels: tuple[str, ...]
    describe: Describe
    classify: Classify
    seconds: float
    clips_per_second: float
    sample_rate: int = RATE

    def score(self, clips: Iterable[tuple[Key, Samples]]) -> Iterator[ClipScores[Key]]:
        """Probabilities of (key, samples [S]), in order; each clip is taken whole."""
        for key, samples in clips:
            features = self.describe(samples)
            yield ClipScores(key, 1, self.classify(features[None])[0], unit_length(features))


def train(
    name: Name,
    labels: tuple[str, ...],
    training: Sequence[Clip],
    validation: Sequence[Clip],
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Rival:
    """Train one of ``METHODS`` on clips of the speakers ``labels``.

    Args:
        name: of the method.
        labels: the speakers, in class order.
        training: what the classifier is fitted to.
        validation: for the temperature only.
        progress: called with (clips done, clips in all).

    Raises:
        AudioError: a clip cannot be read.
        MissingExtra: its package is not installed.
    """
    method = METHODS[name]
    describe = method.load()
    classes = {label: index for index, label in enumerate(labels)}
    clips = [*training, *validation]
    features: list[Features] = []
    spent = 0.0
    for done, clip in enumerate(clips, 1):
        samples = load_audio(clip.source, RATE)
        start = time.perf_counter()
        features.append(describe(samples))
        spent += time.perf_counter() - start
        progress(done, len(clips))
    stacked = np.stack(features)
    truth = np.array([classes[clip.speaker] for clip in clips])
    ours, held_out = slice(len(training)), slice(len(training), None)
    start = time.perf_counter()
    classify = method.fit(
        Examples(stacked[ours], truth[ours]), Examples(stacked[held_out], truth[held_out])
    )
    seconds = spent + time.perf_counter() - start
    return Rival(labels, describe, classify, round(seconds, 1), round(len(clips) / spent, 1))


def load_resemblyzer() -> Describe:
    """Resemblyzer's embedding of a clip; its voice activity detector cuts out pauses.

    Raises:
        MissingExtra: Resemblyzer is not installed.
    """
    try:
        from resemblyzer import VoiceEncoder, preprocess_wav
    except ImportError as error:
        raise MissingExtra(
            f"Resemblyzer is not installed ({error})",
            "pip install --no-deps Resemblyzer webrtcvad-wheels",
        ) from None
    encoder = VoiceEncoder("cpu", verbose=False)

    def describe(samples: Samples) -> Features:
        voiced = preprocess_wav(samples)  # normalises the level, too
        embedding: Features = encoder.embed_utterance(voiced if len(voiced) else samples)
        return embedding

    return describe


def _mfcc_statistics(samples: Samples) -> Features:
    """Means and deviations over time of the MFCCs of 25 ms frames, 10 ms apart; [120]."""
    frames = librosa.feature.mfcc(
        y=samples,
        sr=RATE,
        n_mfcc=_COEFFICIENTS,
        n_fft=512,
        win_length=400,
        hop_length=160,
        n_mels=80,
    )
    return np.concatenate([frames.mean(axis=1), frames.std(axis=1)])


def _discriminant(training: Examples, _validation: Examples) -> Classify:
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    model.fit(training.features, training.classes)
    classify: Classify = model.predict_proba  # every class has clips: columns are the classes
    return classify


def _nearest_centroid(training: Examples, validation: Examples) -> Classify:
    """Softmax of the cosines to the mean of each speaker's unit-length embeddings."""
    sums = np.zeros((int(training.classes.max()) + 1, training.features.shape[1]))
    np.add.at(sums, training.classes, training.features)
    centroids = sums / np.linalg.norm(sums, axis=1, keepdims=True)

    def cosines(features: Features) -> Features:
        scaled: Features = _SCALE * features @ centroids.T
        return scaled

    temperature = fit_temperature(cosines(validation.features), validation.classes)
    return lambda features: softmax(cosines(features) / temperature)


#: The rivals by name.
METHODS: dict[Name, Method] = {
    "mfcc-lda": Method(lambda: _mfcc_statistics, _discriminant),
    "resemblyzer": Method(load_resemblyzer, _nearest_centroid),
    "campplus": Method(campplus.whole_clips, _nearest_centroid),
}
