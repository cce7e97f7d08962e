from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

from tests.conftest import RATE, voice
from voxedge.nn.playback import Playback
from voxedge.train import recipe as recipes
from voxedge.train.build import build_frontend
from voxedge.train.recipe_sections import FrontendRecipe


def played(change: float, samples: np.ndarray, index: int, **recipe) -> torch.Tensor:
    frontend = build_frontend(FrontendRecipe(window_seconds=1.0, image_size=64, **recipe))
    playback = Playback(frontend, change)
    pcm = torch.from_numpy(np.resize(samples, playback.window.samples))[None]
    return playback(pcm, torch.tensor([index]))


def test_as_recorded_the_image_is_the_front_ends():
    frontend = build_frontend(FrontendRecipe(image_size=64))
    pcm = torch.from_numpy(voice(150, 3.0, 1))[None]
    playback = Playback(frontend, 0.0)
    image = playback(pcm, torch.tensor([0]))
    torch.testing.assert_close(image, frontend.image(pcm), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("index", "speed"), [(1, 0.9), (2, 1.1)])
def test_a_faster_clip_has_the_image_of_a_resampled_one(index, speed):
    samples = voice(150, 1.5, 1)
    image = played(0.1, samples, index, normalise="clip")
    faster = librosa.resample(samples, orig_sr=round(RATE * speed), target_sr=RATE)
    expected = played(0.1, faster, 0, normalise="clip")
    as_recorded = played(0.1, samples, 0, normalise="clip")
    error = (image - expected).abs().mean()
    assert error < 0.15
    assert error < 0.25 * (as_recorded - expected).abs().mean()


def test_the_seeds_features_are_refused():
    with pytest.raises(TypeError, match="log-power"):
        Playback(build_frontend(recipes.load("seed-baseline").frontend), 0.1)
