"""Groups of embeddings."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from voxedge.errors import MissingExtra, UsageError
from voxedge.timeline import clustering
from voxedge.timeline.clustering import LEAST_WINDOWS, SpeakerCount, cluster, means_of


def voices(*counts: int, spread: float = 0.05, seed: int = 0) -> np.ndarray:
    """So many windows of each of several voices, which are at right angles: [N, 8]."""
    random = np.random.default_rng(seed)
    rows = np.concatenate([np.tile(np.eye(8)[k], (n, 1)) for k, n in enumerate(counts)])
    rows = rows + random.normal(0, spread, rows.shape)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_voices_are_told_apart():
    labels = cluster(voices(8, 12, 6), 0.5, SpeakerCount())
    assert labels.tolist() == [0] * 8 + [1] * 12 + [2] * 6


def test_clusters_are_numbered_in_order_of_appearance():
    rows = voices(8, 8)
    labels = cluster(np.concatenate([rows[8:], rows[:8]]), 0.5, SpeakerCount())
    assert labels.tolist() == [0] * 8 + [1] * 8


def test_the_threshold_is_a_mean_cosine():
    """Two voices whose windows are 0.6 alike are one below that threshold, and two above."""
    first, second = np.zeros(8), np.zeros(8)
    first[0] = 1
    second[:2] = 0.6, 0.8
    rows = np.stack([first] * 6 + [second] * 6).astype(np.float32)
    assert len(set(cluster(rows, 0.59, SpeakerCount()).tolist())) == 1
    assert len(set(cluster(rows, 0.61, SpeakerCount()).tolist())) == 2


def test_average_linkage_is_what_scipy_and_the_definition_say():
    """Three windows by hand: a and b join at 0.9, then c is 0.2 and 0.4 from them: 0.3."""
    gram = np.array([[1, 0.9, 0.2], [0.9, 1, 0.4], [0.2, 0.4, 1]])
    rows = np.linalg.cholesky(gram).astype(np.float32)
    tree = clustering._linkage(rows)
    assert tree[:, 2] == pytest.approx([0.1, 0.7], abs=1e-6)


def test_small_clusters_go_to_the_nearest_voice():
    rows = voices(10, 10, LEAST_WINDOWS - 1)
    odd = np.eye(8)[2] + 0.3 * np.eye(8)[1]
    rows[20:] = odd / np.linalg.norm(odd)
    assert cluster(rows, 0.5, SpeakerCount())[20:].tolist() == [1] * (LEAST_WINDOWS - 1)
    rows = voices(10, 10, LEAST_WINDOWS)
    assert len(set(cluster(rows, 0.5, SpeakerCount()).tolist())) == 3


def test_a_short_recording_has_small_clusters_only():
    assert cluster(voices(3), 0.5, SpeakerCount()).tolist() == [0, 0, 0]
    assert cluster(voices(1), 0.5, SpeakerCount()).tolist() == [0]
    assert cluster(voices(2, 2), 0.5, SpeakerCount(2, 2)).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("count", "speakers"),
    [
        (SpeakerCount(2, 2), 2),
        (SpeakerCount(most=1), 1),
        (SpeakerCount(most=3), 3),
        (SpeakerCount(1, 9), 4),
        (SpeakerCount(4, 6), 4),
    ],
)
def test_the_number_of_speakers(count, speakers):
    labels = cluster(voices(20, 20, 20, 20), 0.5, count)
    assert len(set(labels.tolist())) == speakers


def test_more_speakers_than_voices_are_found_if_they_must_be():
    labels = cluster(voices(30, 30), 0.5, SpeakerCount(5, 5))
    assert len(set(labels.tolist())) == 5
    assert not set(labels[:30].tolist()) & set(labels[30:].tolist())


def test_impossible_numbers():
    with pytest.raises(UsageError, match="4 speakers cannot be told apart in 3 windows of speech"):
        cluster(voices(3), 0.5, SpeakerCount(4, 4))
    with pytest.raises(UsageError, match="at least one"):
        SpeakerCount(0)
    with pytest.raises(UsageError, match="none is possible"):
        SpeakerCount(3, 2)


def test_a_long_recording_is_clustered_in_parts(monkeypatch):
    rows = voices(50, 40, 60)
    mixed = np.random.default_rng(1).permutation(len(rows))
    expected = cluster(rows[mixed], 0.5, SpeakerCount())
    monkeypatch.setattr(clustering, "_MOST_UNITS", 30)
    assert (cluster(rows[mixed], 0.5, SpeakerCount()) == expected).all()


def test_means_are_of_unit_length():
    means = means_of(voices(8, 12, spread=0.0), np.repeat([0, 1], [8, 12]))
    assert means == pytest.approx(np.eye(8)[:2])


def test_without_scipy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.cluster.hierarchy", None)
    with pytest.raises(MissingExtra, match="timeline"):
        clustering.require_scipy()


def test_scipy_is_loaded_where_it_is_used():
    code = "import sys, voxedge.timeline.timeline\nassert 'scipy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
