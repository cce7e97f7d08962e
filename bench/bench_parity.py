"""How accurate each contestant is, and how often two of them give the same answer.

All windows of every test clip, probabilities averaged over a clip as ``identify`` does. The seed
network is also measured behind our own front end's ``seed`` feature, in place of librosa's. Only
the float32 file has to agree with its network here: everything else is only measured.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from bench.contestants import (
    CONTESTANTS,
    EAGER,
    FP16,
    FP32,
    INT8,
    SEED,
    SEED_EAGER,
    SEED_EXPORTED,
    eager,
)
from voxedge.inference.scoring import average_over_windows
from voxedge.metrics import bootstrap, top_k_hits
from voxedge.threads import available_processors

BATCH = 32
SAME_NETWORK = (
    (EAGER, FP32),
    (EAGER, FP16),
    (EAGER, INT8),
    (SEED, SEED_EAGER),
    (SEED, SEED_EXPORTED),
)


def test_parity(benchmark, device, prepared, contestants_on, windows):
    loaded, _ = contestants_on(device, available_processors())
    answers = {name: answer for name, answer in loaded.items() if CONTESTANTS[name].compared}
    if SEED in answers:
        answers[SEED_EAGER] = eager(prepared.seed_run, device)

    def run_all():
        return {name: _probabilities(answer, windows) for name, answer in answers.items()}

    probabilities = benchmark.pedantic(run_all, rounds=1)
    scores = {name: _by_clip(values, windows) for name, values in probabilities.items()}
    accuracy = {name: _accuracy(values, windows.truth) for name, values in scores.items()}
    agreement = [
        {"of": [a, b]} | {f"top{k}": _agreement(scores[a], scores[b], k) for k in (1, 5)}
        for a, b in combinations(scores, 2)
    ]
    difference = [
        {"of": [a, b], "probability": float(np.abs(probabilities[a] - probabilities[b]).max())}
        for a, b in SAME_NETWORK
        if a in probabilities and b in probabilities
    ]
    benchmark.extra_info.update(
        suite="parity",
        device=device,
        clips=len(windows.truth),
        windows=len(windows.clip_index),
        figures={"accuracy": accuracy, "agreement": agreement, "difference": difference},
    )
    if device == "cpu":  # CUDA may compute in TF32
        assert difference[0]["probability"] < 1e-3  # as the exporter guarantees


def _probabilities(answer, windows):
    """The answers to all windows, [N, K]."""
    starts = range(0, len(windows.pcm), BATCH)
    rows = [answer(windows.pcm[s : s + BATCH], windows.lengths[s : s + BATCH]) for s in starts]
    return np.concatenate(rows)


def _by_clip(probabilities, windows):
    """[N, K] of the windows -> [C, K] of the clips."""
    return average_over_windows(probabilities, windows.clip_index, len(windows.truth))


def _accuracy(scores, truth):
    """Top-1 and top-5 of [C, K], with intervals."""
    return {f"top{k}": bootstrap(top_k_hits(scores, truth, k), truth).as_dict() for k in (1, 5)}


def _agreement(a, b, k):
    """Mean share of the k best that two [C, K] have in common."""
    best = [np.argsort(-scores, axis=1, kind="stable")[:, :k] for scores in (a, b)]
    common = [len(np.intersect1d(*rows)) for rows in zip(*best, strict=True)]
    return float(np.mean(common)) / k
