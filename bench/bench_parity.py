"""How often each contestant is right, and how often two of them say the same.

All windows of every test clip, probabilities averaged over a clip as ``identify`` does. The seed
network is also given our own front end's ``seed`` feature in place of librosa's. The file must say
what its network says; anything else here is a figure, not a verdict.
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


def test_parity(benchmark, device, material, contestants_on, clips):
    loaded, _ = contestants_on(device, available_processors())
    answers = {name: answer for name, answer in loaded.items() if CONTESTANTS[name].judged}
    if SEED in answers:
        answers[SEED_EAGER] = eager(material.seed_run, device)

    def run_all():
        return {name: _probabilities(answer, clips) for name, answer in answers.items()}

    windows = benchmark.pedantic(run_all, rounds=1)
    scores = {name: _averaged(values, clips) for name, values in windows.items()}
    accuracy = {
        name: {
            f"top{k}": bootstrap(top_k_hits(values, clips.truth, k), clips.truth)._asdict()
            for k in (1, 5)
        }
        for name, values in scores.items()
    }
    agreement = [
        {"of": [a, b]} | {f"top{k}": _agreement(scores[a], scores[b], k) for k in (1, 5)}
        for a, b in combinations(scores, 2)
    ]
    difference = [
        {"of": [a, b], "probability": float(np.abs(windows[a] - windows[b]).max())}
        for a, b in SAME_NETWORK
        if a in windows and b in windows
    ]
    benchmark.extra_info.update(
        suite="parity",
        device=device,
        clips=len(clips.truth),
        windows=len(clips.clip_index),
        figures={"accuracy": accuracy, "agreement": agreement, "difference": difference},
    )
    if device == "cpu":  # CUDA may compute in TF32
        assert difference[0]["probability"] < 1e-3  # the exporter has promised it


def _probabilities(answer, clips):
    """[N, K] of all windows."""
    starts = range(0, len(clips.pcm), BATCH)
    rows = [answer(clips.pcm[s : s + BATCH], clips.lengths[s : s + BATCH]) for s in starts]
    return np.concatenate(rows)


def _averaged(probabilities, clips):
    """[N, K] of the windows -> [C, K] of the clips."""
    return average_over_windows(probabilities, clips.clip_index, len(clips.truth))


def _agreement(a, b, k):
    """Mean share of the k best that two [C, K] have in common."""
    best = [np.argsort(-scores, axis=1, kind="stable")[:, :k] for scores in (a, b)]
    common = [len(np.intersect1d(*rows)) for rows in zip(*best, strict=True)]
    return float(np.mean(common)) / k
