"""An identifier that decodes in processes of their own answers as any other."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE, voice, voxedge
from voxedge.audio.limits import Limits
from voxedge.errors import OutsideLimits, UnreadableAudio
from voxedge.inference.identifier import Identifier
from voxedge.inference.prediction import Failure


@pytest.fixture(scope="module")
def isolated(model_path):
    return Identifier(model_path, device="cpu", threads=2, isolate=True)


def test_answers_and_errors_are_the_same(isolated, model_path, workshop, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no audio")
    paths = [*sorted((workshop / "data").rglob("*.wav"))[:6], broken, tmp_path / "missing.wav"]
    here = Identifier(model_path, device="cpu")
    answers = list(isolated.identify_many(paths))
    for answer, expected in zip(answers, here.identify_many(paths), strict=True):
        assert answer.to_dict() == expected.to_dict()
    assert [isinstance(each, Failure) for each in answers] == [False] * 6 + [True] * 2
    assert type(answers[6].error) is UnreadableAudio


def test_bytes_file_objects_and_samples_are_taken_too(isolated, workshop):
    path = next((workshop / "data").rglob("*.wav"))
    expected = isolated.identify(path).predictions
    data = path.read_bytes()
    for source in (data, memoryview(data), io.BytesIO(data)):
        assert isolated.identify(source).predictions == expected
    assert isolated.identify(voice(110.0, 1.0, seed=1), sample_rate=RATE).windows == 1


def test_too_many_bytes_are_refused_before_they_are_sent(model_path):
    small = Identifier(model_path, device="cpu", limits=Limits(max_bytes=99), isolate=True)
    with pytest.raises(OutsideLimits, match="100 bytes; at most 99"):
        small.identify(bytes(100))


def test_noise_is_no_speech_unless_any_sound_may_have_a_name(model_path, isolated):
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
    file = io.BytesIO()
    soundfile.write(file, noise, RATE, format="WAV")
    assert isolated.identify(file.getvalue()).reason == "no_speech"
    anything = Identifier(model_path, device="cpu", any_sound=True, isolate=True)
    answer = anything.identify(file.getvalue())
    assert answer.speaker is not None
    assert answer.speech_seconds is None


def test_the_command_line_has_it(workshop):
    clip = next((workshop / "data").rglob("*.wav"))
    plain, isolated = (
        voxedge("identify", clip, "--json", *flags, cwd=workshop) for flags in ((), ("--isolate",))
    )
    assert plain.returncode == isolated.returncode == 0, isolated.stderr
    assert plain.stdout == isolated.stdout
