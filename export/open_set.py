"""Fit how a model file tells its speakers from strangers, on clips that it was not trained on.

Strangers are the file's own speakers, each compared with the others, or clips of other people. Each
clip counts as it is, cut to 2 s and to 1 s, and in noise: with thresholds from whole clips alone
two to four times as many strangers would be named at 1 s.

Shapes: C clips, K classes, F figures, N trials.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from voxedge.export.clips import LabelledClip

from voxedge.audio.limits import Samples
from voxedge.evaluation.conditions import CONDITIONS, Environment, add_noise
from voxedge.inference.open_set import LEAST, SHARES, OpenSet, figures
from voxedge.inference.scoring import LabelledScores, average_over_windows
from voxedge.metrics import logistic_regression

#: Labelled clips -> their logits.
Scorer: TypeAlias = Callable[[Iterable[LabelledClip]], LabelledScores]
_Floats: TypeAlias = npt.NDArray[np.float64]

_CUTS = ("cut2", "cut1")
_DECIBELS = 10.0


class _Trials(NamedTuple):
    """Figures [N, F] of clips of known speakers and of strangers."""

    known: _Floats
    strangers: _Floats
    by_others: bool  # whether the strangers are other people


def fit_open_set(
    score: Scorer,
    clips: Iterable[LabelledClip],
    window: int,
    rate: int,
    impostors: Iterable[Samples] = (),
) -> OpenSet | None:
    """Fit the log-odds that a clip is by one of the file's speakers, and their thresholds.

    Args:
        score: gives the logits of the model file.
        clips: of its speakers, which it was not trained on.
        window: samples of a window.
        rate: Hz, of all samples.
        impostors: clips of other people; without any, the speakers are each other's strangers.

    Returns:
        None if nobody can stand for a stranger: two speakers and no impostors, or no clip is named
        right.
    """
    trials, strangers = _trials(score, list(clips), list(impostors), window, rate)
    if not strangers or not len(trials.known):
        return None
    weights, bias = logistic_regression(trials.known, trials.strangers)
    odds = trials.strangers @ weights + bias
    accept = {
        share: float(np.quantile(odds, 1 - share, method="higher"))
        if share * strangers >= LEAST
        else None
        for share in SHARES
    }
    best, lead, log_seconds = (float(weight) for weight in weights)
    basis = "impostors" if trials.by_others else "speakers"
    return OpenSet((best, lead, log_seconds), bias, accept, strangers, basis)


def _trials(
    score: Scorer,
    known: Sequence[LabelledClip],
    others: Sequence[Samples],
    window: int,
    rate: int,
) -> tuple[_Trials, int]:
    """Figures of all trials, and how many clips of strangers there are."""
    targets: list[_Floats] = [np.zeros((0, 3))]
    strangers: list[_Floats] = [np.zeros((0, 3))]
    for degrade in _degradations(rate):
        logits, seconds = _heard(score, [(k, degrade(x)) for k, x in known], window, rate)
        truth = np.array([label for label, _ in known])
        right = logits.argmax(axis=1) == truth
        targets.append(figures(logits[right], seconds[right]))
        if others:
            heard = _heard(score, [(0, degrade(samples)) for samples in others], window, rate)
            strangers.append(figures(*heard))
        elif logits.shape[1] > 2:  # two others, at least, to compare a clip with
            strangers.append(figures(_without(logits, truth), seconds))
    clips = len(others) or (len(known) if len(strangers) > 1 else 0)
    return _Trials(np.concatenate(targets), np.concatenate(strangers), bool(others)), clips


def _heard(
    score: Scorer, clips: Sequence[LabelledClip], window: int, rate: int
) -> tuple[_Floats, _Floats]:
    """Mean logits [C, K] of clips, and their seconds [C]."""
    scores = score(clips)
    logits = average_over_windows(scores.logits, scores.clip_index, len(clips))
    return logits, np.array([min(len(samples), window) / rate for _, samples in clips])


def _without(logits: _Floats, truth: npt.NDArray[np.int64]) -> _Floats:
    """The logits [C, K - 1] of all classes but each clip's own."""
    kept = np.ones(logits.shape, bool)
    kept[np.arange(len(truth)), truth] = False
    return logits[kept].reshape(len(logits), -1)


def _degradations(rate: int) -> list[Callable[[Samples], Samples]]:
    def cut(name: str) -> Callable[[Samples], Samples]:
        return lambda samples: CONDITIONS[name](samples, rate, Environment())

    return [lambda samples: samples, *map(cut, _CUTS), lambda samples: _noisy(samples, rate)]


def _noisy(samples: Samples, rate: int) -> Samples:
    """Samples [S] in pink noise, the same whenever it is asked for the same length."""
    random = np.random.default_rng(len(samples))
    spectrum = np.fft.rfft(random.standard_normal(len(samples)))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    noise = np.fft.irfft(spectrum, len(samples)).astype(np.float32)
    return add_noise(samples, noise, _DECIBELS, rate)
