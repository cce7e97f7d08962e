"""Values: samples and weights that are not finite, silence, and clips of odd lengths."""

from __future__ import annotations

import time
import warnings

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.faults.check import decoded, records, refused, same, voxedge
from tests.faults.conftest import CLEAN
from tests.faults.make import LABELS, RATE, float_wav, sealed, small_model, sound, wav
from voxedge import Identifier
from voxedge.audio.arrays import from_array
from voxedge.audio.limits import Samples
from voxedge.errors import AudioError, BadSamples, ModelError, NonFiniteOutput, TooShort
from voxedge.inference.prediction import Failure
from voxedge.model_file.metadata import DIGEST_BLANK
from voxedge.model_file.reader import read_model

WINDOW = RATE  # of the models made here: one second

BAD = {
    "NaN": np.nan,
    "infinity": np.inf,
    "minus infinity": -np.inf,
    "1e300": 1e300,
    "3e38": 3e38,
    "-3e38": -3e38,
    "an unscaled integer": 32_767.0,
}


def with_bad_sample(value: float, kind: type = np.float64) -> np.ndarray:
    samples = CLEAN.astype(np.float64)
    samples[777] = value
    with np.errstate(over="ignore"):
        return samples.astype(kind)


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_one_bad_sample_is_enough_to_refuse_a_clip(value, kind, rate):
    refused(float_wav(with_bad_sample(value, kind), rate), BadSamples)
    with pytest.raises(BadSamples):
        from_array(with_bad_sample(value, kind), rate, 16_000)


@pytest.mark.parametrize("value", BAD.values(), ids=BAD)
def test_bad_samples_do_not_hide_in_the_mean_of_two_channels(value):
    """Opposite values cancel, become NaN or overflow: none is accepted, nor does NumPy warn."""
    one, other = with_bad_sample(value, np.float32), with_bad_sample(-value, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for pair in ((one, other), (one, one), (CLEAN, one), (one, CLEAN)):
            refused(float_wav(np.stack(pair, axis=1)), BadSamples)
            with pytest.raises(BadSamples):
                from_array(np.stack(pair, axis=1), RATE, RATE)


def test_a_bad_sample_anywhere_in_a_long_clip_is_found():
    samples = np.tile(CLEAN, 30)
    samples[-1] = np.nan
    refused(float_wav(samples), BadSamples)


SILENT: dict[str, Samples] = {
    "silence": np.zeros(2 * RATE, np.float32),
    "DC": np.full(2 * RATE, 0.7, np.float32),
    "denormals": np.random.default_rng(1).normal(0, 1e-40, 2 * RATE).astype(np.float32),
    "one step of 16 bits": np.resize(np.float32([0, 2**-15]), 2 * RATE),
}


@pytest.mark.parametrize("samples", SILENT.values(), ids=SILENT)
def test_a_clip_without_sound_has_no_speaker(samples, identifier):
    for rate in (16_000, 44_100):
        answer = identifier.identify(float_wav(samples, rate))
        assert (answer.speaker, answer.predictions, answer.windows) == (None, (), 0)
        assert answer.reason == "no_speech"
        assert answer.to_dict()["speaker"] is None


def test_silence_is_an_answer_and_not_a_failure(tmp_path, small_file):
    (tmp_path / "silence.wav").write_bytes(float_wav(SILENT["silence"]))
    done = voxedge("--json", "silence.wav", cwd=tmp_path, model=small_file)
    (record,) = records(done)
    assert done.returncode == 0
    assert (record["speaker"], record["reason"]) == (None, "no_speech")


def test_denormals_are_not_slow():
    """Arithmetic on denormals is 10 to 100 times slower where it is not kept away from them."""
    ordinary = float_wav(sound(20.0, 44_100), 44_100)
    quiet = float_wav(np.resize(SILENT["denormals"], 20 * 44_100), 44_100)

    def seconds(data: bytes) -> float:
        start = time.process_time()
        decoded(data)
        return time.process_time() - start

    expected = min(seconds(ordinary) for _ in range(5))
    assert min(seconds(quiet) for _ in range(5)) < 2 * expected + 0.02


@pytest.mark.parametrize("length", [0, 1, 2, 3_999])
def test_a_clip_that_is_too_short_says_so(length):
    refused(wav(CLEAN[:length]), TooShort)
    with pytest.raises(TooShort):
        from_array(CLEAN[:length], RATE, RATE)


@pytest.mark.parametrize(
    ("length", "windows"),
    [(4_000, 1), (WINDOW - 1, 1), (WINDOW, 1), (WINDOW + 1, 2), (3 * WINDOW // 2, 2)],
)
def test_a_clip_about_as_long_as_a_window_is_used_whole(length, windows, identifier):
    samples = sound(2.0)[:length]
    same(decoded(wav(samples)), samples)
    answer = identifier.identify(wav(samples))
    assert answer.windows == windows
    assert answer.seconds == length / RATE
    assert answer.speaker in LABELS
    assert sum(score.probability for score in answer.predictions) == pytest.approx(1, abs=1e-5)


def with_bad_weight(name: str, value: float):
    """A change that puts ``value`` into one place of an initialiser."""

    def change(model: onnx.ModelProto) -> None:
        (tensor,) = (t for t in model.graph.initializer if t.name == name)
        weights = numpy_helper.to_array(tensor).copy()
        weights.flat[0] = value
        tensor.CopyFrom(numpy_helper.from_array(weights, name))

    return change


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["head", "width"])
def test_a_model_of_bad_weights_never_gives_a_label(name, value, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(small_model(with_bad_weight(name, value)))
    identifier = Identifier(path, any_sound=True)
    if name == "head" and value == -np.inf:  # only makes this class impossible
        assert identifier.identify(CLEAN).speaker in LABELS[1:]
        return
    with pytest.raises(NonFiniteOutput) as caught:
        identifier.identify(CLEAN)
    assert caught.value.exit_code == 4


def test_a_real_network_of_bad_weights_never_gives_a_label(traced_file, tmp_path):
    model = onnx.load(traced_file)
    text = read_model(traced_file).metadata
    del model.metadata_props[:]
    weight = next(node for node in model.graph.node if node.op_type == "Conv").input[1]
    with_bad_weight(weight, np.nan)(model)
    blank = {"digest": DIGEST_BLANK}
    path = tmp_path / "model.onnx"
    path.write_bytes(sealed(model, type(text)(**(vars(text) | blank)).to_json()))
    with pytest.raises(NonFiniteOutput):
        Identifier(path, any_sound=True).identify(CLEAN)
    (tmp_path / "clip.wav").write_bytes(wav(CLEAN))
    done = voxedge("--json", "clip.wav", cwd=tmp_path, model=path)
    (record,) = records(done)
    assert done.returncode == 4
    assert record["error"]["code"] == "non_finite_output"
    assert "speaker" not in record


def test_an_answer_that_is_not_a_number_stays_with_its_clip(tmp_path):
    """Only a loud clip overflows with such weights; the others in its batch are right."""
    path = tmp_path / "model.onnx"
    path.write_bytes(small_model(with_bad_weight("head", 3e38)))
    identifier = Identifier(path, any_sound=True)
    quiet, loud = float_wav(CLEAN), float_wav(200 * CLEAN)
    alone = identifier.identify(quiet)
    first, second, third = identifier.identify_many([quiet, loud, quiet])
    assert isinstance(second, Failure)
    assert second.error.code == "non_finite_output"
    for answer in (first, third):
        assert not isinstance(answer, Failure)
        assert answer.predictions == alone.predictions


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((2, 2, 8_000), np.float32),
        np.float32(0.5),
        np.zeros(16_000, np.complex64),
        np.zeros(16_000, bool),
        np.array(["a"] * 16_000),
        np.zeros((16_000, 0), np.float32),
        np.zeros((16_000, 33), np.float32),
        np.zeros(0, np.float32),
    ],
    ids=lambda samples: f"{samples.dtype} {samples.shape}",
)
def test_arrays_that_are_not_a_clip_are_refused(samples, identifier):
    with pytest.raises(AudioError):
        identifier.identify(samples)


def test_a_wrong_batch_is_a_named_error(identifier):
    with pytest.raises(ModelError, match="cannot run"):
        identifier.run(CLEAN)  # one dimension
    with pytest.raises(ModelError, match="cannot run"):
        identifier.run(CLEAN[None], np.array([[WINDOW]]))
