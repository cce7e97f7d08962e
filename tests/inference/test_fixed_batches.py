"""Batches are padded to a few sizes, which does not change the answers."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from voxedge import Identifier
from voxedge.errors import ModelError, ProviderUnavailable
from voxedge.inference import fixed_batches
from voxedge.inference import identifier as runtime

CPU = "CPUExecutionProvider"
LARGEST = 6


@pytest.fixture
def pair(model_path, monkeypatch):
    """The same file without and with padding, and the batch sizes that ONNX Runtime gets."""
    plain = Identifier(model_path, batch_size=LARGEST)
    sizes = []

    def in_few_sizes(run, largest):
        def counted(names, feeds):
            sizes.append({len(value) for value in feeds.values()})
            return run(names, feeds)

        return fixed_batches.in_few_sizes(counted, largest)

    monkeypatch.setattr(runtime, "PREPARING", {CPU})
    monkeypatch.setattr(runtime, "in_few_sizes", in_few_sizes)
    return plain, Identifier(model_path, batch_size=LARGEST), sizes


def batch(identifier, rows, seed):
    random = np.random.default_rng(seed)
    pcm = random.normal(0, 0.1, (rows, identifier.metadata.window)).astype(np.float32)
    return pcm, random.integers(len(pcm[0]) // 2, len(pcm[0]), rows)


def equal(found, wanted, tolerance=1e-5):
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=tolerance)


def test_batches_are_padded_to_a_few_sizes_and_answers_stay(pair):
    plain, padded, sizes = pair
    for seed, rows in enumerate((3, 1, 2, 4, 6, 5)):
        pcm, lengths = batch(plain, rows, seed)
        equal(padded.run(pcm, lengths), plain.run(pcm, lengths))
    assert sizes == [{4}, {1}, {2}, {4}, {6}, {6}]


def test_without_lengths_windows_are_whole(pair):
    plain, padded, sizes = pair
    pcm, _ = batch(plain, 3, 0)
    equal(padded.run(pcm), plain.run(pcm))
    assert sizes == [{4}]


def test_larger_batches_and_shorter_rows_keep_their_shape(pair):
    plain, padded, sizes = pair
    pcm, _ = batch(plain, LARGEST + 1, 0)
    equal(padded.run(pcm), plain.run(pcm))
    half = pcm[:2, : pcm.shape[1] // 2]
    equal(padded.run(half), plain.run(half))
    assert sizes == [{LARGEST + 1}, {2}]


@pytest.mark.parametrize("count", [2, 5])
def test_lengths_of_another_number_of_rows_are_refused(pair, count):
    plain, padded, _ = pair
    pcm, _ = batch(plain, 3, 0)
    for identifier in (plain, padded):
        with pytest.raises(ModelError):
            identifier.run(pcm, np.full(count, pcm.shape[1]))


def test_on_a_cpu_batches_are_not_padded(model_path):
    identifier = Identifier(model_path)
    assert identifier._run_session.__func__ is onnxruntime.InferenceSession.run


def test_a_gpu_answers_like_a_cpu(model_path):
    try:
        ours = Identifier(model_path, device="cuda")
    except ProviderUnavailable as error:
        pytest.skip(f"no GPU here: {error}")
    theirs = Identifier(model_path, device="cpu")
    for seed, rows in enumerate((3, 1, 8, 5, 3, 11)):
        pcm, lengths = batch(ours, rows, seed)
        equal(ours.run(pcm, lengths), theirs.run(pcm, lengths), 0.05)  # CUDA computes in TF32
        equal(ours.run(pcm), theirs.run(pcm), 0.05)
