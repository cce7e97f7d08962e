"""Fixed shapes and bound buffers, on the CPU's memory: a GPU's differs in where the buffers lie."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from voxedge import Identifier, fixed_batches
from voxedge.fixed_batches import PLACES

CPU = "CPUExecutionProvider"
LARGEST = 6


@pytest.fixture
def shapes(monkeypatch):
    """The shapes that are bound, while the CPU is taken for a device with memory of its own."""
    monkeypatch.setitem(PLACES, CPU, "cpu")
    made = []
    real = fixed_batches._Bound

    def bound(session, size, feeds):
        made.append((size, *feeds["pcm"].shape[1:]))
        return real(session, size, feeds)

    monkeypatch.setattr(fixed_batches, "_Bound", bound)
    return made


@pytest.fixture
def pair(model_path, shapes):
    """The same file plainly and through bound buffers, and what batches to give it."""
    bound = Identifier(model_path, batch_size=LARGEST)
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(PLACES, CPU)
        plain = Identifier(model_path, batch_size=LARGEST)
    return plain, bound


def batch(identifier, rows, seed):
    random = np.random.default_rng(seed)
    pcm = random.normal(0, 0.1, (rows, identifier.metadata.window)).astype(np.float32)
    return pcm, random.integers(len(pcm[0]) // 2, len(pcm[0]), rows)


def equal(found, wanted):
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_batches_are_filled_up_to_a_few_sizes_and_answers_stay(pair, shapes):
    plain, bound = pair
    held = {}
    for seed, rows in enumerate((3, 1, 2, 4, 6, 5, 3)):
        pcm, lengths = batch(plain, rows, seed)
        held[rows] = bound.run(pcm, lengths), plain.run(pcm, lengths)
    assert [size for size, _ in shapes] == [4, 1, 2, 6]
    for found, wanted in held.values():  # later runs have not written over earlier answers
        equal(found, wanted)


def test_without_lengths_whole_windows_are_meant(pair):
    plain, bound = pair
    pcm, lengths = batch(plain, 2, 0)
    bound.run(pcm, lengths)  # buffers that hold something else
    equal(bound.run(pcm), plain.run(pcm))


def test_other_shapes_run_as_they_come(pair, shapes):
    plain, bound = pair
    pcm, _ = batch(plain, LARGEST + 1, 0)
    equal(bound.run(pcm), plain.run(pcm))
    half = pcm[:2, : pcm.shape[1] // 2]
    equal(bound.run(half), plain.run(half))
    assert shapes == []


def test_threads_do_not_get_each_others_answers(pair):
    plain, bound = pair
    given = [batch(plain, 2, seed) for seed in range(16)]
    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(lambda each: bound.run(*each), given)]
    for answer, each in zip(found, given, strict=True):
        equal(answer, plain.run(*each))


def test_only_a_gpu_is_bound(model_path):
    plain = Identifier(model_path)
    assert not isinstance(plain._compute.__self__, fixed_batches.FixedBatches)


def test_copies_go_through_pinned_memory_where_there_is_some(pair, monkeypatch):
    plain, bound = pair
    asked = []
    pinned = SimpleNamespace(ep_name=CPU, memory_info=lambda kind: asked.append(kind) or "pinned")
    monkeypatch.setattr(onnxruntime, "get_ep_devices", lambda: [pinned])
    real = onnxruntime.OrtValue.ortvalue_from_shape_and_type
    hosts = []

    def new(shape, dtype, *place, memory_info=None):
        if memory_info is not None:
            hosts.append((memory_info, *shape))
        return real(shape, dtype, *place)

    monkeypatch.setattr(onnxruntime.OrtValue, "ortvalue_from_shape_and_type", new)
    pcm, lengths = batch(plain, 2, 0)
    equal(bound.run(pcm, lengths), plain.run(pcm, lengths))
    assert asked == [onnxruntime.OrtDeviceMemoryType.HOST_ACCESSIBLE]
    assert [memory for memory, *_ in hosts] == ["pinned"] * 5  # two in, three out
    assert ("pinned", 2, plain.metadata.window) in hosts
