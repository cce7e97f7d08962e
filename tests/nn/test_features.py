"""The features against librosa: an independent implementation of the same equations."""

from __future__ import annotations

import librosa
import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from voxedge.export.passes import PASSES
from voxedge.export.trace import trace

from tests.conftest import RATE, voice
from voxedge.nn.features import dft_basis, mel_filters
from voxedge.nn.speaker_net import ExportedNet
from voxedge.train import recipe as recipes
from voxedge.train.build import build_frontend, build_net
from voxedge.train.recipe_sections import FrontendRecipe


@pytest.mark.filterwarnings("ignore:Empty filters")  # of librosa
@pytest.mark.parametrize("speed", [1.0, 0.9, 1.1])
@pytest.mark.parametrize("n_mels", [80, 112])
def test_mel_filters_are_librosas_at_every_speed(n_mels, speed):
    ours = mel_filters(RATE * speed, 512, n_mels, 20, 7600).numpy()
    theirs = librosa.filters.mel(sr=RATE * speed, n_fft=512, n_mels=n_mels, fmin=20, fmax=7600)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)  # torchaudio's are float32; 0.03 at most


def test_seed_mel_filters_use_the_wrong_rate_as_the_seed_did():
    ours = build_frontend(recipes.load("seed-baseline").frontend).features.filters.numpy()
    theirs = librosa.filters.mel(sr=22_050, n_fft=512, n_mels=40)
    np.testing.assert_allclose(ours, theirs, atol=1e-7)


def test_empty_mel_bands_are_no_reason_to_warn(recwarn):
    filters = mel_filters(RATE * 0.5, 512, 80, 20, 7600)  # 4 kHz is the highest frequency
    assert not filters[-1].any()
    assert not recwarn


def test_dft_basis_is_the_fft():
    frame = voice(150, 0.05, 1)[:512].astype(np.float64)
    basis = dft_basis(512, 512).squeeze(1).numpy()
    spectrum = np.fft.rfft(frame * np.hanning(513)[:512])  # periodic Hann
    np.testing.assert_allclose(basis[:257] @ frame, spectrum.real, atol=1e-4)
    np.testing.assert_allclose(basis[257:] @ frame, spectrum.imag, atol=1e-4)


@pytest.mark.parametrize("win_length", [400, 512])
def test_log_mel_features_are_librosas(win_length):
    recipe = FrontendRecipe(win_length=win_length, hop_length=160)
    samples = voice(180, 3.0, 2)
    pcm, lengths = torch.from_numpy(samples)[None], torch.tensor([len(samples)])
    ours = build_frontend(recipe).features(pcm, lengths)[0].numpy()
    power = librosa.feature.melspectrogram(
        y=samples, sr=RATE, n_fft=512, hop_length=160, win_length=win_length, center=False,
        n_mels=80, fmin=20, fmax=7600,
    )  # fmt: skip
    np.testing.assert_allclose(ours, np.log(1 + power / (1e-6 * power.mean())), atol=2e-3)


def test_seed_features_are_what_the_seed_computed_with_librosa():
    recipe = recipes.load("seed-baseline").frontend
    samples = voice(180, 2.2, 3)
    window = np.zeros(48_000, np.float32)
    window[: len(samples)] = samples
    pcm, lengths = torch.from_numpy(window)[None], torch.tensor([len(window)])
    ours = build_frontend(recipe).features(pcm, lengths)[0].numpy()

    normal = librosa.util.normalize(window)
    spectrum = librosa.stft(normal, n_fft=512, hop_length=160, pad_mode="reflect")
    mel = librosa.filters.mel(sr=22_050, n_fft=512, n_mels=40) @ spectrum
    theirs = librosa.util.normalize(np.log(mel + 1e-9)).real
    assert ours.shape == theirs.shape == (40, 301)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)
    assert np.abs(ours - theirs).mean() < 1e-5


def test_linear_features_are_the_bins_between_f_min_and_f_max():
    recipe = FrontendRecipe(feature="linear", f_min=1000, f_max=3000)
    features = build_frontend(recipe).features
    assert features.bands == 65  # 31.25 Hz a bin, both ends included
    assert features(torch.randn(1, 48_000), torch.tensor([48_000])).shape[1] == 65


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
