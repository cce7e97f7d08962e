"""Model files that take a device's own buffer: its rate, its integers, its channels."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import soxr
import torch
from voxedge.export import input_format as formats
from voxedge.export.input_format import RATES, InputFormat, with_input_format
from voxedge.export.passes import PASSES
from voxedge.export.pipeline import export_run
from voxedge.export.serialise import serialise
from voxedge.export.trace import trace

from tests.conftest import RATE, SPEAKERS, voice
from voxedge import Identifier
from voxedge.audio.windows import as_buffer
from voxedge.errors import ParityError, UsageError
from voxedge.model_file.reader import read_model
from voxedge.nn.input_conversion import InputConversion
from voxedge.nn.speaker_net import ExportedNet
from voxedge.train.build import build_net
from voxedge.train.recipe import Recipe
from voxedge.train.recipe_sections import FrontendRecipe
from voxedge.train.run import find_run

WINDOW = RATE  # samples: one second


@pytest.fixture(scope="module")
def plain():
    recipe = Recipe(frontend=FrontendRecipe(image_size=32, window_seconds=1.0))
    model = trace(ExportedNet(build_net(recipe, 5), 1.0).eval())
    for apply in PASSES:
        apply(model)
    return model


def buzz(rate: int, seconds: float, seed: int = 3) -> np.ndarray:
    """A voice of some seconds at another rate."""
    return voice(150 + 10 * seed, seconds * rate / RATE, seed)


def run(model, pcm, **feeds):
    session = onnxruntime.InferenceSession(serialise(model), providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"pcm": pcm, **feeds})[0]


@pytest.mark.parametrize("rate", [rate for rate in RATES if rate != RATE])
def test_resampling_equals_soxrs(rate):
    seconds = np.arange(round(1.3 * rate)) / rate
    tones = sum(0.1 * np.sin(2 * np.pi * hertz * seconds) for hertz in (100, 440, 1234, 3000))
    samples = tones.astype(np.float32)
    pcm, lengths = torch.from_numpy(samples)[None], torch.tensor([1 << 62])
    ours, valid = InputConversion(rate, RATE)(pcm, lengths)
    theirs = soxr.resample(samples, rate, RATE, quality="HQ")
    assert abs(int(valid) - len(theirs)) <= 1
    middle = slice(200, len(theirs) - 200)
    np.testing.assert_allclose(ours[0].numpy()[middle], theirs[middle], atol=1e-5)


def test_samples_beyond_the_given_length_are_ignored():
    one = torch.from_numpy(voice(150, 1.0, 1))[None]
    # Both rows have the same length: the order of a sum may depend on it.
    padded = torch.cat([one, torch.zeros(1, 3000)], dim=1)
    garbage = torch.cat([one, torch.randn(1, 3000)], dim=1)
    conversion = InputConversion(48_000, RATE)
    lengths = torch.tensor([one.shape[1]])
    (clean, valid), (dirty, same) = conversion(padded, lengths), conversion(garbage, lengths)
    assert torch.equal(valid, same)
    assert torch.equal(clean[:, : int(valid)], dirty[:, : int(valid)])


@pytest.mark.parametrize(
    "input_format",
    [InputFormat(48_000, "int16", 2), InputFormat(44_100), InputFormat(RATE, "int16")],
    ids=str,
)
def test_the_converted_graph_agrees_with_the_plain_one(plain, input_format):
    clip = buzz(input_format.rate, 2.5)
    reference = soxr.resample(clip, input_format.rate, RATE).astype(np.float32)
    converted = with_input_format(plain, input_format, RATE, WINDOW)
    onnx.checker.check_model(onnx.load_from_string(serialise(converted)), full_check=True)
    pcm = as_buffer(clip[None], input_format.dtype, input_format.channels)
    expected = run(plain, reference[None])
    np.testing.assert_allclose(run(converted, pcm), expected, atol=0.02)

    rows = np.repeat(pcm, 3, axis=0)  # clips of different lengths share a batch
    lengths = np.array([len(clip), input_format.rate // 2, input_format.rate // 3])
    actual = run(converted, rows, lengths=lengths)
    for row, length in zip(actual, lengths, strict=True):
        alone = soxr.resample(clip[:length], input_format.rate, RATE).astype(np.float32)
        np.testing.assert_allclose(row, run(plain, alone[None])[0], atol=0.1)


def test_only_what_the_window_needs_is_resampled(plain):
    converted = with_input_format(plain, InputFormat(48_000), RATE, WINDOW)
    clip = buzz(48_000, 6.0)
    np.testing.assert_array_equal(
        run(converted, clip[None]), run(converted, clip[None, : 48_000 * 2])
    )


def test_identify_converts_any_clip_to_the_files_input_format(workshop, model_path, tmp_path):
    path = tmp_path / "device.onnx"
    exported = export_run(
        find_run(workshop / "runs"), path, input_format=InputFormat(44_100, "int16", 2)
    )
    metadata = read_model(path).metadata
    assert metadata.sample_rate == 44_100
    assert metadata.input == {"dtype": "int16", "rate": 44_100, "channels": 2}
    assert exported.metadata.parity["input"]["top1"] >= 0.99
    converted, plain = Identifier(path), Identifier(model_path)
    for name in SPEAKERS:
        clip = workshop / f"{name}.wav"
        first, second = converted.identify(clip), plain.identify(clip)
        assert first.speaker == second.speaker == name
        assert first.windows == second.windows
    samples, rate = soundfile.read(clip, dtype="float32")
    microphone = as_buffer(soxr.resample(samples, rate, 44_100)[None], "int16", 2)
    session = onnxruntime.InferenceSession(path)
    assert session.get_inputs()[0].type == "tensor(int16)"
    probabilities = session.run(["probabilities"], {"pcm": microphone})[0]
    assert metadata.labels[int(probabilities.argmax())] == name


def test_a_graph_that_resamples_badly_is_refused(plain, monkeypatch):
    clips = [buzz(8_000, 1.2, seed) for seed in range(4)]
    converted = with_input_format(plain, InputFormat(8_000), RATE, WINDOW)
    summary = formats.check_resampling(plain, converted, InputFormat(8_000), RATE, WINDOW, clips)
    assert summary["clips"] == 4
    assert summary["top1"] >= 0.75
    answers = iter(range(100))

    class WrongSession:
        def run(self, names, feeds):
            return [np.eye(5, dtype=np.float32)[[next(answers) % 5]]]

    monkeypatch.setattr(formats, "open_session", lambda *_: (WrongSession(), ()))
    with pytest.raises(ParityError, match="soxr"):
        formats.check_resampling(plain, converted, InputFormat(8_000), RATE, WINDOW, clips)


@pytest.mark.parametrize(
    "input_format", [InputFormat(12_345), InputFormat(RATE, "float32", 0)], ids=str
)
def test_impossible_formats_are_refused(input_format):
    with pytest.raises(UsageError, match="--input"):
        input_format.check(RATE)
