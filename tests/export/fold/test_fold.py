"""Folding: the graph that comes out, what is refused, and the gate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from voxedge.export.fold import frontends, reference
from voxedge.export.fold.clips import Clips, recorded_clips, synthetic_clips
from voxedge.export.fold.compose import read_network
from voxedge.export.fold.frontends import KaldiSettings, choose_frontend
from voxedge.export.fold.pipeline import Origin, fold_network

from tests.conftest import RATE, SPEAKERS, voice
from tests.export.fold.conftest import BANDS, WIDTH, network
from voxedge.cli.app import run
from voxedge.errors import NoSpeakers, ParityError, UsageError
from voxedge.inference.identifier import Identifier
from voxedge.inference.session import open_session

FEW = Clips(synthetic_clips(RATE).samples[:4], "synthetic")


def folded(path, settings, out, seconds=0.5, **options):
    return fold_network(
        read_network(path), settings, out, window_seconds=seconds, clips=FEW, **options
    )


def expected(settings, x, window=8_000):
    """The embedding by NumPy alone."""
    filled = np.resize(x[:window], window)
    if settings.name == "samples":
        features = settings.scale * filled[:, None]
    elif settings.name == "kaldi-fbank":
        features = reference.kaldi_fbank(filled, RATE, BANDS, "povey", settings.scale)
    else:
        features = reference.speechbrain_fbank(filled, RATE, BANDS)
    if settings.mean_norm:
        features = features - features.mean(axis=0)
    weight = np.random.default_rng(0).normal(size=(features.shape[1], WIDTH))
    embedding = (np.maximum(features, 0) @ weight).mean(axis=0)
    return embedding / np.linalg.norm(embedding)


@pytest.mark.parametrize(
    ("name", "shape", "opset"),
    [
        ("kaldi-fbank", ("batch", "frames", BANDS), 17),
        ("kaldi-fbank", ("batch", BANDS, "frames"), 20),
        ("kaldi-fbank", ("batch", 48, BANDS), 18),
        ("speechbrain-fbank", ("batch", "frames", BANDS), 17),
        ("samples", ("batch", "samples"), 17),
        ("samples", ("batch", 1, "samples"), 13),
    ],
)
def test_the_file_gives_the_networks_embeddings(tmp_path, name, shape, opset):
    path = network(tmp_path / "net.onnx", shape, opset)
    settings = choose_frontend(name, {})
    done = folded(path, settings, tmp_path / "out.onnx", origin=Origin("MIT", "a paper"))
    metadata = done.metadata
    assert (metadata.labels, metadata.embedding_dim, metadata.schema) == ((), WIDTH, 2)
    assert (metadata.licence, metadata.source) == ("MIT", "a paper")
    assert metadata.frontend["name"] == name
    assert metadata.parity["speech"] == "synthetic"
    assert metadata.parity["bands"] <= 1e-3
    identifier = Identifier(tmp_path / "out.onnx", device="cpu")
    clips = [voice(150, 0.7, 0), voice(205, 0.3, 1)]  # cut, and repeated to fill the window
    pcm = np.stack([clips[0][:8_000], np.pad(clips[1], (0, 8_000 - len(clips[1])))])
    outputs = identifier.run(pcm, np.array([8_000, len(clips[1])]))
    assert outputs.probabilities.shape == (2, 0)
    for row, clip in zip(outputs.embedding, clips, strict=True):
        np.testing.assert_allclose(row, expected(settings, clip), atol=2e-4)


def test_an_embedding_file_scores_clips_but_names_nobody(net, tmp_path, capsys):
    out = tmp_path / "out.onnx"
    folded(net, KaldiSettings(), out)
    identifier = Identifier(out, device="cpu")
    (scores,) = identifier.score([("clip", voice(150, 1.7, 0))])
    assert scores.windows > 1
    assert np.linalg.norm(scores.embedding) == pytest.approx(1, abs=1e-6)
    with pytest.raises(NoSpeakers, match="knows no names"):
        identifier.identify(voice(150, 0.7, 0))
    assert run(["inspect", str(out)]) == 0
    assert "none: embeddings only" in capsys.readouterr().out
    assert run(["identify", "--model", str(out), "clip.wav"]) == 4


def test_lengths_has_a_default(net, tmp_path):
    folded(net, KaldiSettings(), tmp_path / "out.onnx")
    session, _ = open_session(tmp_path / "out.onnx", "cpu", 1)
    x = voice(150, 0.5, 0)
    (alone,) = session.run(["embedding"], {"pcm": x[None]})
    (told,) = session.run(["embedding"], {"pcm": x[None], "lengths": np.array([len(x)])})
    np.testing.assert_array_equal(alone, told)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (1, "frames", BANDS)}, "batches of 1 only"),
        ({"inputs": 2}, r"2 inputs \(x, length\)"),
        ({"domain": "com.microsoft"}, "operators of com.microsoft"),
        ({"shape": ("batch", BANDS)}, "the network takes 80 values"),
        ({"shape": ("batch", 99, BANDS)}, "the network takes 99 x 80 values, .* gives 48 x 80"),
        ({"opset": 22}, "opset 22"),
    ],
)
def test_what_cannot_be_folded_is_refused(tmp_path, options, message):
    path = network(tmp_path / "net.onnx", **options)
    with pytest.raises(UsageError, match=message):
        folded(path, KaldiSettings(), tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_the_wrong_number_of_bands_is_refused(net, tmp_path):
    with pytest.raises(UsageError, match="any x 80 values, the front end gives 48 x 40"):
        folded(net, KaldiSettings(bands=40), tmp_path / "out.onnx")


def test_no_file_if_the_bands_differ(net, tmp_path, monkeypatch):
    """The near miss: a reference with Hamming's window in place of Povey's."""
    real = reference.kaldi_fbank
    monkeypatch.setattr(
        reference,
        "kaldi_fbank",
        lambda x, rate, bands, _, scale: real(x, rate, bands, "hamming", scale),
    )
    with pytest.raises(ParityError, match=r"no file written: .* bands differ"):
        folded(net, KaldiSettings(), tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_no_file_if_the_embeddings_differ(net, tmp_path):
    class Shifted(KaldiSettings):
        """Takes the mean off in the reference alone."""

        def build(self, window):
            return replace(KaldiSettings(), mean_norm=False).build(window)

    with pytest.raises(ParityError, match="smallest cosine"):
        folded(net, Shifted(), tmp_path / "out.onnx")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mfcc", {}, "no front end 'mfcc'"),
        ("samples", {"bands": 80}, "samples has no option bands"),
        ("speechbrain-fbank", {"scale": 1.0}, "has no option scale"),
        ("kaldi-fbank", {"bands": 0}, "--bins 0"),
        ("kaldi-fbank", {"frame_window": "hann"}, "--frame-window hann"),
        ("kaldi-fbank", {"scale": 0.0}, "--scale 0"),
        ("samples", {"sample_rate": 1}, "--rate 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options, message):
    with pytest.raises(UsageError, match=message):
        choose_frontend(name, options)


def test_impossible_windows_are_refused():
    with pytest.raises(UsageError, match="--window 90"):
        frontends.check_window(90)


def test_recordings_of_a_corpus(corpus_folder):
    clips = recorded_clips(corpus_folder, RATE, 5)
    assert (len(clips.samples), clips.speech) == (5, "recordings")
    assert len(SPEAKERS) == 4


def test_the_command(net, tmp_path, capsys):
    out = tmp_path / "out.onnx"
    arguments = ["fold", str(net), "--out", str(out), "--window", "0.5", "--licence", "MIT"]
    assert run(arguments) == 0
    assert "licence MIT" in capsys.readouterr().out
    assert Identifier(out, device="cpu").metadata.source == "net.onnx"
