"""The front end against librosa: an independent implementation of the same equations."""

from __future__ import annotations

import dataclasses

import librosa
import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from voxedge.export.passes import PASSES
from voxedge.export.trace import trace

from tests.conftest import RATE, voice
from voxedge.nn.frontend import Window, dft_basis, mel_filters, resize_matrix
from voxedge.nn.speaker_net import ExportedNet
from voxedge.train import recipe as recipes
from voxedge.train.build import build_frontend, build_net
from voxedge.train.recipe import FrontendRecipe


def image_of(recipe: FrontendRecipe, samples: np.ndarray) -> np.ndarray:
    frontend = build_frontend(recipe)
    pcm = torch.from_numpy(samples)[None]
    return frontend(pcm, torch.tensor([len(samples)]))[0, 0].numpy()


def test_mel_filters_are_librosas():
    ours = mel_filters(RATE, 512, 80, 20, 7600).numpy()
    theirs = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=80, fmin=20, fmax=7600)
    np.testing.assert_allclose(ours, theirs, atol=1e-7)


def test_seed_mel_filters_use_the_wrong_rate_as_the_seed_did():
    ours = mel_filters(22_050, 512, 40, 0, 11_025).numpy()
    np.testing.assert_allclose(
        ours, librosa.filters.mel(sr=22_050, n_fft=512, n_mels=40), atol=1e-7
    )


def test_dft_basis_is_the_fft():
    frame = voice(150, 0.05, 1)[:512].astype(np.float64)
    basis = dft_basis(512, 512).squeeze(1).numpy()
    spectrum = np.fft.rfft(frame * np.hanning(513)[:512])  # periodic Hann
    np.testing.assert_allclose(basis[:257] @ frame, spectrum.real, atol=1e-4)
    np.testing.assert_allclose(basis[257:] @ frame, spectrum.imag, atol=1e-4)


@pytest.mark.parametrize("win_length", [400, 512])
def test_power_mel_path_is_librosas(win_length):
    recipe = FrontendRecipe(win_length=win_length)
    samples = voice(180, 3.0, 2)
    pcm, lengths = torch.from_numpy(samples)[None], torch.tensor([len(samples)])
    ours = build_frontend(recipe).features(pcm, lengths)[0].numpy()
    power = librosa.feature.melspectrogram(
        y=samples, sr=RATE, n_fft=512, hop_length=160, win_length=win_length, center=False,
        n_mels=80, fmin=20, fmax=7600,
    )  # fmt: skip
    np.testing.assert_allclose(ours, np.log(1 + power / (1e-6 * power.mean())), atol=2e-3)


@pytest.mark.parametrize("decibels", [-40, 20])
def test_gain_changes_nothing(decibels):
    frontend = build_frontend(FrontendRecipe(window_seconds=1.0, normalise="clip"))
    pcm = torch.from_numpy(voice(180, 1.0, 4))[None]
    louder = frontend.image(pcm * 10 ** (decibels / 20))
    torch.testing.assert_close(louder, frontend.image(pcm), atol=2e-3, rtol=0)


def test_seed_feature_is_what_the_seed_computed_with_librosa():
    recipe = recipes.load("seed-baseline").frontend
    samples = voice(180, 2.2, 3)
    window = np.zeros(48_000, np.float32)
    window[: len(samples)] = samples
    ours = build_frontend(recipe).seed_features(torch.from_numpy(window)[None])[0].numpy()

    normal = librosa.util.normalize(window)
    spectrum = librosa.stft(normal, n_fft=512, hop_length=160, pad_mode="reflect")
    mel = librosa.filters.mel(sr=22_050, n_fft=512, n_mels=40) @ spectrum
    theirs = librosa.util.normalize(np.log(mel + 1e-9)).real
    assert ours.shape == theirs.shape == (40, 301)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)
    assert np.abs(ours - theirs).mean() < 1e-5


def test_resize_without_antialias_is_half_pixel_bilinear():
    values = np.array([0.0, 1.0, 4.0])
    matrix = resize_matrix(3, 6, antialias=False).numpy()
    # centres of six pixels over three: -0.25, 0.25, 0.75, 1.25, 1.75, 2.25, clamped at the ends
    np.testing.assert_allclose(matrix @ values, [0, 0.25, 0.75, 1.75, 3.25, 4.0], atol=1e-6)


def test_resize_with_antialias_averages_when_it_shrinks():
    matrix = resize_matrix(300, 100, antialias=True).numpy()
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
    stripes = np.tile([1.0, -1.0], 150)
    assert np.abs(matrix @ stripes).max() < 0.2  # a bare bilinear one would alias to about 1
    assert np.abs(resize_matrix(300, 100, antialias=False).numpy() @ stripes).max() > 0.9


def test_bins_normalisation_ignores_colour():
    samples = voice(180, 3.0, 4)
    bright = np.append(samples[0], samples[1:] - 0.9 * samples[:-1])  # towards the highs
    image = image_of(FrontendRecipe(), samples)
    assert np.abs(image - image_of(FrontendRecipe(), bright)).mean() < 0.2
    assert abs(image.mean()) < 0.05
    plain = dataclasses.replace(FrontendRecipe(), normalise="none")
    assert np.abs(image_of(plain, samples) - image_of(plain, bright)).mean() > 0.4


def test_minmax_fills_zero_to_one():
    image = image_of(
        FrontendRecipe(normalise="minmax", n_mels=112, image_size=112), voice(99, 3, 5)
    )
    assert image.min() >= 0
    assert 0.9 < image.max() <= 1


def test_linear_feature_keeps_the_bins_between_f_min_and_f_max():
    recipe = FrontendRecipe(feature="linear", f_min=1000, f_max=3000)
    assert len(build_frontend(recipe).bands) == 65  # 31.25 Hz a bin, both ends included


@pytest.mark.parametrize("length", [1, 7, 15_999, 47_999, 48_000, 48_001, 90_000])
def test_window_repeats_short_clips_and_cuts_long_ones(length):
    samples = torch.arange(1, length + 1, dtype=torch.float32)
    window = Window(48_000, "repeat")(samples[None], torch.tensor([length]))[0]
    expected = np.resize(samples.numpy(), 48_000)  # np.resize repeats
    np.testing.assert_array_equal(window.numpy(), expected)


@pytest.mark.parametrize("window", [48_000, (1 << 21) - 1, 1 << 21])
def test_clips_are_repeated_at_whole_lengths(window):
    """The length's inverse is rounded: no neighbour of the right sample may be taken."""
    for length in (3, 41, 399, 4001, window // 3, window - 1, window, window + 1):
        whole = torch.arange(0, window, length)[:, None] + torch.tensor([-1, 0, 1])
        positions = whole.flatten().clamp(0, window - 1)
        clip, valid = torch.arange(length)[None], torch.tensor([length])
        found = Window(window, "repeat").at(positions.int(), clip, valid)[0]
        assert torch.equal(found, positions % length)


def test_window_can_pad_with_zeros():
    window = Window(10, "zero")(torch.ones(1, 4), torch.tensor([4]))[0]
    assert window.tolist() == [1] * 4 + [0] * 6


def test_lengths_hide_what_lies_behind_them():
    samples = torch.tensor([[1.0, 2, 3, 77, 77], [4, 5, 6, 7, 8]])
    window = Window(6, "repeat")(samples, torch.tensor([3, 5]))
    assert window.tolist() == [[1, 2, 3, 1, 2, 3], [4, 5, 6, 7, 8, 4]]


def test_one_length_serves_the_whole_batch():
    samples = torch.arange(10.0).reshape(2, 5)
    shared = Window(6, "repeat")(samples, torch.tensor([2**63 - 1]))
    torch.testing.assert_close(shared, Window(6, "repeat")(samples, torch.tensor([5, 5])))


def test_silence_is_exactly_nothing():
    """Else two runtimes would magnify different roundings of the same constant."""
    for feature in ("mel", "linear"):
        recipe = dataclasses.replace(FrontendRecipe(), feature=feature)
        assert not image_of(recipe, np.zeros(16_000, np.float32)).any()


def test_every_normalisation_is_finite_on_silence():
    for feature in ("mel", "linear", "seed"):
        for normalise in ("bins", "minmax", "none"):
            recipe = dataclasses.replace(FrontendRecipe(), feature=feature, normalise=normalise)
            assert np.isfinite(image_of(recipe, np.zeros(16_000, np.float32))).all()


def test_the_exporter_keeps_the_seeds_floor():
    """It deletes the addition of a constant below 1e-8; log(0) would follow for padded clips."""
    recipe = recipes.load("seed-baseline").with_values(
        {"model.init": "random", "frontend.image_size": 32, "frontend.window_seconds": 0.5}
    )
    net = ExportedNet(build_net(recipe, 3), 1.0).eval()
    model = trace(net)
    for apply in PASSES:
        apply(model)
    model.ir_version = 10
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString())
    pcm = voice(150, 0.3, 1)[None]
    logits = session.run(["logits"], {"pcm": pcm})[0]
    assert np.isfinite(logits).all()
    expected = net(torch.from_numpy(pcm), torch.tensor([pcm.shape[1]]))[0].detach().numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-2)
