from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.conftest import voice
from voxedge.nn.frontend import resize_matrix
from voxedge.train.build import build_frontend
from voxedge.train.recipe_sections import FrontendRecipe


def image_of(recipe: FrontendRecipe, samples: np.ndarray) -> np.ndarray:
    frontend = build_frontend(recipe)
    pcm = torch.from_numpy(samples)[None]
    return frontend(pcm, torch.tensor([len(samples)]))[0, 0].numpy()


@pytest.mark.parametrize("decibels", [-40, 20])
def test_gain_changes_nothing(decibels):
    frontend = build_frontend(FrontendRecipe(window_seconds=1.0, normalise="clip"))
    pcm = torch.from_numpy(voice(180, 1.0, 4))[None]
    louder = frontend.image(pcm * 10 ** (decibels / 20))
    torch.testing.assert_close(louder, frontend.image(pcm), atol=2e-3, rtol=0)


def test_bins_normalisation_ignores_colour():
    samples = voice(180, 3.0, 4)
    bright = np.append(samples[0], samples[1:] - 0.9 * samples[:-1])  # towards the highs
    bins = FrontendRecipe(normalise="bins")
    image = image_of(bins, samples)
    assert np.abs(image - image_of(bins, bright)).mean() < 0.2
    assert abs(image.mean()) < 0.05
    plain = dataclasses.replace(bins, normalise="none")
    assert np.abs(image_of(plain, samples) - image_of(plain, bright)).mean() > 0.4


def test_an_image_may_have_other_columns_than_rows():
    samples = voice(180, 3.0, 4)
    frames = 119  # of 3 s at the default hop: nothing is resized
    whole = image_of(FrontendRecipe(image_columns=frames), samples)
    half = image_of(FrontendRecipe(image_columns=60), samples)
    assert (whole.shape, half.shape) == ((80, frames), (80, 60))
    resized = torch.from_numpy(whole) @ resize_matrix(frames, 60, antialias=True).T
    np.testing.assert_allclose(half, resized.numpy(), atol=1e-4)


def test_minmax_fills_zero_to_one():
    image = image_of(
        FrontendRecipe(normalise="minmax", n_mels=112, image_size=112), voice(99, 3, 5)
    )
    assert image.min() >= 0
    assert 0.9 < image.max() <= 1


@pytest.mark.parametrize("feature", ["mel", "linear"])
def test_the_image_of_silence_is_exactly_zero(feature):
    """Otherwise two runtimes would magnify different roundings of the same constant."""
    recipe = dataclasses.replace(FrontendRecipe(), feature=feature)
    assert not image_of(recipe, np.zeros(16_000, np.float32)).any()


@pytest.mark.parametrize("normalise", ["bins", "minmax", "none"])
@pytest.mark.parametrize("feature", ["mel", "linear", "seed"])
def test_every_normalisation_is_finite_on_silence(feature, normalise):
    recipe = dataclasses.replace(FrontendRecipe(), feature=feature, normalise=normalise)
    assert np.isfinite(image_of(recipe, np.zeros(16_000, np.float32))).all()


def test_resize_without_antialias_is_half_pixel_bilinear():
    values = np.array([0.0, 1.0, 4.0])
    matrix = resize_matrix(3, 6, antialias=False).numpy()
    # centres of six pixels over three: -0.25, 0.25, 0.75, 1.25, 1.75, 2.25, clamped at the ends
    np.testing.assert_allclose(matrix @ values, [0, 0.25, 0.75, 1.75, 3.25, 4.0], atol=1e-6)


def test_resize_with_antialias_averages_when_it_shrinks():
    matrix = resize_matrix(300, 100, antialias=True).numpy()
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
    stripes = np.tile([1.0, -1.0], 150)
    assert np.abs(matrix @ stripes).max() < 0.2  # without antialias it aliases to about 1
    assert np.abs(resize_matrix(300, 100, antialias=False).numpy() @ stripes).max() > 0.9
