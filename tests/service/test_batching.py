"""Clips that arrive together are computed together, with the answers that they get alone."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tests.conftest import voice
from voxedge.errors import ModelError, VoxedgeError
from voxedge.inference.identifier import Identifier
from voxedge.service.batching import Batcher


@pytest.fixture(scope="module")
def model(model_path):
    return Identifier(model_path, device="cpu", batch_size=8)


def test_every_clip_gets_its_own_answer(model):
    sounds = [voice(100 + 9 * n, 0.5 + 0.7 * (n % 4), seed=n) for n in range(12)]
    sizes: list[int] = []
    batcher = Batcher(model, 0.2, lambda: 1, sizes.append)
    futures = [batcher.submit(sound, None) for sound in sounds]
    batcher.close()
    assert sum(sizes) == 12
    assert max(sizes) > 1
    for sound, future in zip(sounds, futures, strict=True):
        (alone,) = model.score([(None, sound)])
        found = future.result()
        assert found.windows == alone.windows
        np.testing.assert_allclose(found.probabilities, alone.probabilities, atol=1e-5)
        np.testing.assert_allclose(found.embedding, alone.embedding, atol=1e-5)


def test_a_clip_without_energy_has_no_windows(model):
    batcher = Batcher(model, 0.0, lambda: 0)
    silent, loud = (
        batcher.submit(np.zeros(16_000, np.float32), None),
        batcher.submit(voice(120, 1.0, seed=1), None),
    )
    batcher.close()
    assert (silent.result().windows, loud.result().windows) == (0, 1)


def test_nobody_waits_where_nothing_else_will_come(model):
    clock = SimpleNamespace(asked=0)

    def expected() -> int:
        clock.asked += 1
        return 0

    batcher = Batcher(model, 3_600.0, expected)
    assert batcher.submit(voice(120, 1.0, seed=1), None).result(timeout=60).windows == 1
    assert clock.asked
    batcher.close()


def test_a_failure_costs_one_clip(model, monkeypatch):
    score, poison = model.score, np.full(16_000, 0.5, np.float32)

    def failing(clips, **options):
        rows = list(clips)
        if any(samples is poison for _, samples in rows):
            raise ModelError("no")
        return score(rows, **options)

    monkeypatch.setattr(model, "score", failing)
    batcher = Batcher(model, 0.5, lambda: 1)
    futures = [batcher.submit(x, None) for x in (voice(120, 1.0, seed=1), poison)]
    assert futures[0].result(timeout=60).windows == 1
    with pytest.raises(ModelError):
        futures[1].result(timeout=60)
    monkeypatch.setattr(model, "score", lambda *_, **__: 1 / 0)
    with pytest.raises(VoxedgeError, match="division"):
        batcher.submit(voice(120, 1.0, seed=1), None).result(timeout=60)
    monkeypatch.undo()
    assert batcher.submit(voice(120, 1.0, seed=1), None).result(timeout=60).windows == 1
    batcher.close()
