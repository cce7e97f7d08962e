from __future__ import annotations

import io
import json
import os
import re
import shutil
import threading
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from tests.audio.test_load import encoded
from tests.conftest import RATE, SPEAKERS, voice
from voxedge import Identifier, Prediction
from voxedge.audio import load as audio
from voxedge.errors import (
    AudioError,
    ModelError,
    ModelNotFound,
    OutsideLimits,
    ProviderUnavailable,
    UsageError,
)
from voxedge.inference import identifier as runtime
from voxedge.inference.prediction import Failure
from voxedge.inference.session import PROVIDERS, open_session
from voxedge.install import install_command
from voxedge.speech.clip import Speech
from voxedge.speech.segments import Segment


@pytest.fixture(scope="module")
def identifier(model_path):
    return Identifier(model_path)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Twelve clips of many lengths, and what they hold."""
    folder = tmp_path_factory.mktemp("clips")
    paths = []
    for number, seconds in enumerate([0.3, 1, 2.9, 3, 3.1, 5, 8.2, 0.7, 4.4, 1.5, 10, 2]):
        path = folder / f"{number}.wav"
        soundfile.write(path, voice(list(SPEAKERS.values())[number % 4], seconds, number), RATE)
        paths.append(path)
    return paths


def probabilities(prediction: Prediction) -> dict[str, float]:
    return dict(prediction.predictions)


def test_a_known_voice_is_named(identifier, workshop):
    prediction = identifier.identify(workshop / "ada.wav")
    assert prediction.seconds == pytest.approx(1.5)
    assert prediction.windows == 1
    assert prediction.provider == "CPUExecutionProvider"
    assert prediction.model == "model.onnx"
    assert {s.speaker for s in prediction.predictions} == set(SPEAKERS)
    assert sum(probabilities(prediction).values()) == pytest.approx(1, abs=1e-5)
    values = [score.probability for score in prediction.predictions]
    assert values == sorted(values, reverse=True)
    assert prediction.speaker == prediction.predictions[0].speaker
    assert np.linalg.norm(prediction.embedding) == pytest.approx(1, abs=1e-5)


def test_training_clips_are_named_right(identifier, workshop):
    answers = {
        name: [identifier.identify(p).speaker for p in sorted((workshop / "data" / name).iterdir())]
        for name in SPEAKERS
    }
    right = sum(given.count(name) for name, given in answers.items())
    assert right >= 24, answers  # of 32


def test_a_long_clip_is_the_mean_of_its_windows(identifier):
    samples = voice(150, 7.0, 5)
    whole = identifier.identify(samples)
    window = identifier.metadata.window
    starts = [0, 24_000, 48_000, 64_000]
    parts = [identifier.identify(samples[s : s + window]) for s in starts]
    assert whole.windows == 4
    for name, probability in whole.predictions:
        mean = np.mean([probabilities(part)[name] for part in parts])
        assert probability == pytest.approx(mean, abs=1e-5)


def test_only_the_first_window_is_used_on_request(identifier):
    samples = voice(150, 7.0, 5)
    first = identifier.identify(samples, windows="first")
    assert first.windows == 1
    assert probabilities(first) == pytest.approx(
        probabilities(identifier.identify(samples[:48_000])), abs=1e-5
    )


def test_silent_windows_are_left_out(identifier):
    speech = voice(150, 3.0, 5)
    padded = np.concatenate([speech, np.zeros(6 * RATE, np.float32)])
    assert identifier.identify(padded).windows == 2  # the second overlaps the speech by half


@pytest.mark.parametrize("level", [-200, -75, -60])
@pytest.mark.parametrize("around", [(3, 0), (0, 12), (17, 10), (60, 60)])
@pytest.mark.parametrize("name", SPEAKERS)
def test_pauses_around_a_clip_do_not_change_who_it_is(identifier, name, around, level):
    speech = voice(SPEAKERS[name], 2.0, 999)
    clip = np.pad(speech, [seconds * RATE for seconds in around])
    hiss = np.random.default_rng(0).standard_normal(len(clip)) * 10 ** (level / 20)
    paused = identifier.identify((clip + hiss).astype(np.float32))
    assert paused.windows == 1
    alone = identifier.identify(speech)
    assert paused.speaker == alone.speaker
    assert probabilities(paused) == pytest.approx(probabilities(alone), abs=0.3)


@pytest.mark.parametrize("samples", [np.zeros(RATE), np.full(RATE, 0.4), np.full(RATE, 1e-42)])
def test_silence_has_no_speaker(identifier, samples):
    prediction = identifier.identify(samples)
    assert prediction.speaker is None
    assert prediction.reason == "no_speech"
    assert prediction.predictions == ()
    assert prediction.to_dict()["speaker"] is None


def test_an_answer_says_how_much_speech_there_is(identifier):
    padded = np.pad(voice(150, 2.0, 5), RATE)
    assert identifier.identify(padded).speech_seconds == pytest.approx(2, abs=0.2)
    record = identifier.identify(padded).to_dict()
    assert record["speech_seconds"] == pytest.approx(2, abs=0.2)
    assert identifier.identify(np.zeros(RATE)).to_dict()["speech_seconds"] == 0


@pytest.mark.parametrize(
    "sound",
    [
        0.1 * np.random.default_rng(0).standard_normal(4 * RATE),
        0.1 * np.sin(np.arange(4 * RATE) / 5) + 0.1 * np.sin(np.arange(4 * RATE) / 7),
    ],
    ids=["noise", "music"],
)
def test_noise_and_music_have_no_speaker_unless_any_sound_may_have_one(
    identifier, model_path, sound
):
    answer = identifier.identify(sound)
    assert (answer.speaker, answer.reason, answer.windows) == (None, "no_speech", 0)
    assert identifier.embed(sound).embedding is None
    any_sound = Identifier(model_path, any_sound=True)
    answer = any_sound.identify(sound)
    assert (answer.speaker in SPEAKERS, answer.reason) == (True, None)
    assert answer.to_dict()["speech_seconds"] is None
    silent = any_sound.identify(np.zeros(RATE))
    assert (silent.speaker, silent.reason) == (None, "no_speech")


def test_a_fifth_of_a_second_is_too_little(identifier, monkeypatch):
    word = Speech((Segment(0.5, 0.7),))
    monkeypatch.setattr("voxedge.inference.clips.find_speech", lambda samples, rate: word)
    answer = identifier.identify(voice(150, 1.0, 5))
    assert (answer.speaker, answer.reason, answer.windows) == (None, "too_little_speech", 0)
    assert answer.speech_seconds == pytest.approx(0.2)


def test_speech_amid_loud_noise_is_named_after_the_speech(identifier):
    speech = voice(SPEAKERS["ben"], 2.0, 999)
    noise = np.random.default_rng(0).normal(0, 0.1, 40 * RATE).astype(np.float32)
    noise[20 * RATE : 22 * RATE] = speech
    answer = identifier.identify(noise)
    assert answer.speaker == identifier.identify(speech).speaker
    assert answer.windows <= 3  # of 26
    assert 2 < answer.speech_seconds < 4


def test_answers_come_before_all_clips_are_read(identifier, clips):
    taken = []

    def endless():
        for number in range(10**6):
            taken.append(number)
            yield clips[number % len(clips)]

    results = identifier.identify_many(endless())
    for _ in range(5):
        next(results)
    results.close()
    assert len(taken) < 100


def test_arrays_at_another_rate(identifier):
    at_16 = identifier.identify(voice(150, 3, 5))
    doubled = np.repeat(voice(150, 3, 5), 2)
    at_32 = identifier.identify(doubled, sample_rate=2 * RATE)
    assert at_32.seconds == pytest.approx(3)
    assert at_32.speaker == at_16.speaker


@pytest.mark.parametrize("rate", [0, -1, 3_999])
def test_a_rate_of_zero_is_not_the_models(identifier, rate):
    with pytest.raises(OutsideLimits, match=f"{rate} Hz"):
        identifier.identify(voice(150, 1, 5), sample_rate=rate)


def test_a_rate_belongs_to_an_array_and_not_to_a_file(identifier, workshop):
    path = workshop / "ada.wav"
    with path.open("rb") as file:
        for source in (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), file):
            with pytest.raises(UsageError, match="a file has its own"):
                identifier.identify(source, sample_rate=RATE)


def no_sources():
    closed = io.BytesIO(b"RIFF")
    closed.close()
    return {
        "None": None,
        "an object": object(),
        "a class": Identifier,
        "a number": 16_000,
        "a dict": {"path": "clip.wav"},
        "a tuple": (voice(150, 1, 5), RATE),
        "names": ["a.wav", "b.wav"],
        "a generator": (0.1 for _ in range(RATE)),
        "a text file": io.StringIO("clip.wav"),
        "a closed file": closed,
        "a path that is none": SimpleNamespace(read=3),
        "a ragged list": [[0.1], [0.1, 0.2]],
        "a folder": os.curdir,
    }


def test_what_is_no_source_is_a_failure_and_not_a_type_error(identifier, clips):
    class NoPath:
        def __fspath__(self):
            return 3

    bad = [*no_sources().values(), NoPath()]
    results = list(identifier.identify_many([clips[0], *bad, clips[1]]))
    assert [isinstance(result, Failure) for result in results] == [False, *[True] * len(bad), False]
    for failure in results[1:-1]:
        assert isinstance(failure.error, AudioError)
        assert json.dumps(failure.to_dict())
    for source in [*no_sources().values(), NoPath()]:
        with pytest.raises(AudioError):
            identifier.identify(source)


@pytest.mark.parametrize(
    "sources",
    ["clip.wav", b"RIFF", bytearray(b"RIFF"), io.BytesIO(b"RIFF\nRIFF"), np.zeros(RATE), None, 3],
    ids=lambda sources: type(sources).__name__,
)
def test_one_clip_is_not_many(identifier, sources):
    with pytest.raises(UsageError, match=r"takes several clips, not a .*pass a list"):
        next(identifier.identify_many(sources))


def test_many_arrays_are_many_clips(identifier):
    rows = np.stack([voice(150, 1, 5), voice(110, 1, 6)])
    names = [answer.speaker for answer in identifier.identify_many(rows)]
    assert names == [identifier.identify(row).speaker for row in rows]


def test_raw_samples_are_read_as_described(model_path, identifier):
    samples = voice(150, 2, 5)
    raw = Identifier(model_path, raw="s16le,16000,1")
    data = np.rint(samples * 32_768).astype("<i2")
    assert raw.identify(data.tobytes()).predictions == identifier.identify(data).predictions
    assert raw.identify(samples).predictions == identifier.identify(samples).predictions
    with pytest.raises(UsageError, match="ENCODING,RATE,CHANNELS"):
        Identifier(model_path, raw="16000")


def test_top_k(identifier):
    assert len(identifier.identify(voice(150, 1, 5), top_k=2).predictions) == 2
    with pytest.raises(UsageError, match="top_k"):
        identifier.identify(voice(150, 1, 5), top_k=0)


@pytest.mark.parametrize(
    "options", [{"batch_size": 0}, {"threads": 0}, {"threads": 10**6}, {"device": "abacus"}]
)
def test_impossible_options_are_refused(model_path, options):
    with pytest.raises(UsageError):
        Identifier(model_path, **options)


def test_a_provider_that_does_not_load_is_an_error_or_with_auto_a_note(model_path, monkeypatch):
    import onnxruntime

    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    real = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda data, options, **_: real(data, options, providers=["CPUExecutionProvider"]),
    )
    with pytest.raises(ProviderUnavailable, match="did not load"):
        Identifier(model_path, device="cuda")
    identifier = Identifier(model_path)
    assert identifier.providers == ("CPUExecutionProvider",)
    assert "running on the CPU" in identifier.notes[0]


def test_a_provider_that_throws_is_an_error_with_its_cause(model_path, monkeypatch, tmp_path):
    import onnxruntime

    real = onnxruntime.InferenceSession

    def throws(data, options, providers, enable_fallback):
        assert not enable_fallback  # ONNX Runtime's own fallback prints to stdout
        if providers[0][0] != "CPUExecutionProvider":
            raise RuntimeError("libnvinfer.so.10: cannot open shared object file")
        return real(data, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", throws)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [*PROVIDERS.values()])
    with pytest.raises(ProviderUnavailable, match=r"libnvinfer\.so\.10"):
        open_session(model_path, "tensorrt", 1)
    session, notes = open_session(model_path, "auto", 1)
    assert session.get_providers() == ["CPUExecutionProvider"]
    assert "libnvinfer" in notes[0]
    assert "running on the CPU" in notes[0]
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no model")
    with pytest.raises(ModelError):  # not the provider's fault
        open_session(bad, "tensorrt", 1)


def test_without_a_runtime_the_extras_are_named(model_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "voxedge.inference.runtime", None)
    with pytest.raises(ProviderUnavailable, match=re.escape(install_command("cpu"))):
        Identifier(model_path)


def test_the_model_may_be_named_by_the_environment(model_path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFound):
        Identifier()
    monkeypatch.setenv("VOXEDGE_MODEL", str(model_path))
    assert Identifier().labels == tuple(SPEAKERS)


def test_any_kind_of_bytes_is_a_file(identifier, workshop):
    data = (workshop / "ada.wav").read_bytes()
    answers = {
        identifier.identify(kind(data)).predictions for kind in (bytes, bytearray, memoryview)
    }
    assert len(answers) == 1


def test_silent_clips_are_answered_as_they_come(identifier):
    taken = []

    def silence():
        for number in range(1000):
            taken.append(number)
            yield encoded(np.zeros(RATE, np.float32))

    next(identifier.identify_many(silence()))
    assert len(taken) < 20


def test_an_answer_does_not_wait_for_all_the_broken_clips_behind_it(identifier, clips):
    taken = []

    def sources():
        yield clips[0]  # one window: less than a batch
        for number in range(5000):
            taken.append(number)
            yield b"nothing"

    results = identifier.identify_many(sources())
    assert isinstance(next(results), Prediction)
    assert len(taken) < 300
    results.close()
    rest = list(identifier.identify_many(sources()))
    assert [isinstance(result, Failure) for result in rest] == [False, *[True] * 5000]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_few_clips_are_decoded_ahead_of_the_answers(
    model_path, clips, workers, threads, monkeypatch
):
    identifier = Identifier(model_path, batch_size=2, threads=threads)
    decoded, answered, most = [], 0, 0
    real = audio.decode

    def counting(source, *arguments):
        decoded.append(source)
        return real(source, *arguments)

    monkeypatch.setattr(audio, "decode", counting)
    for result in identifier.identify_many((clips[3] for _ in range(60)), workers=workers):
        most = max(most, len(decoded) - answered)
        answered += 1
        assert result.windows == 1
    assert answered == len(decoded) == 60
    batches = 2 if threads == 1 else 1 + 2 * threads
    assert most <= 2 * workers + batches * identifier.batch_size + 1


def test_many_batches_are_computed_side_by_side(model_path, clips, monkeypatch):
    def answers_of(identifier, clips):
        return list(identifier.identify_many(clips, windows="first"))  # one batch for each clip

    shared, alone = (  # rounding depends on the number of threads
        answers_of(Identifier(model_path, threads=threads, batch_size=1), clips) * 3
        for threads in (2, 1)
    )
    opened, met = [], threading.Event()
    both = threading.Barrier(2, timeout=60)  # raises if only one thread comes

    def counting(model, device, threads):
        session, notes = open_session(model, device, threads)
        opened.append(threads)

        def run(*arguments):
            if threads == 1 and not met.is_set():
                both.wait()
                met.set()
            return session.run(*arguments)

        others = ("get_providers", "get_inputs", "get_outputs", "get_overridable_initializers")
        same = {name: getattr(session, name) for name in others}
        return SimpleNamespace(run=run, **same), notes

    monkeypatch.setattr("voxedge.inference.identifier.open_session", counting)
    identifier = Identifier(model_path, threads=2, batch_size=1)
    assert answers_of(identifier, clips[:5]) == shared[:5]
    assert opened == [2]  # too few batches for a second session
    for _ in range(2):
        answers = answers_of(identifier, clips * 3)
        assert answers == shared[: runtime._PARALLEL_FROM] + alone[runtime._PARALLEL_FROM :]
        assert opened == [2, 1]


def test_a_file_that_is_replaced_later_is_not_opened_again(model_path, clips, tmp_path):
    path = tmp_path / "model.onnx"
    shutil.copy(model_path, path)
    few = list(Identifier(path, threads=2, batch_size=1).identify_many(clips, windows="first"))
    identifier = Identifier(path, threads=2, batch_size=1)
    path.write_bytes(b"another one")
    assert list(identifier.identify_many(clips * 3, windows="first")) == few * 3


def test_the_bytes_of_the_file_are_not_kept(model_path):
    Identifier(model_path)  # imports stay in memory
    tracemalloc.start()
    try:
        identifier = Identifier(model_path)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert identifier.model_file.size == model_path.stat().st_size > 10 * held


@pytest.mark.parametrize("change", ["replaced", "written", "gone"])
def test_a_file_that_changes_while_it_is_opened_is_refused(
    model_path, tmp_path, monkeypatch, change
):
    path = tmp_path / "model.onnx"
    shutil.copy(model_path, path)

    def meanwhile(*arguments):
        made = open_session(*arguments)
        path.unlink()
        if change == "replaced":
            shutil.copy2(model_path, path)
        elif change == "written":
            path.write_bytes(b"")
        return made

    monkeypatch.setattr(runtime, "open_session", meanwhile)
    with pytest.raises(ModelError, match="changed while it was opened"):
        Identifier(path)


@pytest.mark.parametrize("name", ["Größe 模型.onnx", "model.ort", "model", b"\xff\xfe.onnx"])
def test_a_model_file_may_have_any_name(model_path, workshop, tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    try:
        shutil.copy(model_path, path)
    except OSError:
        pytest.skip("this system has no such names")
    prediction = Identifier(path).identify(workshop / "ada.wav")
    assert (
        prediction.predictions == Identifier(model_path).identify(workshop / "ada.wav").predictions
    )


def test_a_bad_clip_raises_from_the_single_call(identifier):
    with pytest.raises(AudioError):
        identifier.identify("nowhere.wav")


@pytest.mark.parametrize("device", ["cpu", "cuda", "auto"])
def test_cuda_does_not_time_every_convolution_algorithm(model_path, monkeypatch, device):
    asked = []

    def session(_model, _options, providers, **_):
        asked.extend(providers)
        names = [name for name, _ in providers]
        return SimpleNamespace(get_providers=lambda: names)

    monkeypatch.setattr("onnxruntime.InferenceSession", session)
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: list(PROVIDERS.values()))
    open_session(model_path, device, 1)
    cpu = ("CPUExecutionProvider", {})
    cuda = ("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC"})
    assert asked == ([cpu] if device == "cpu" else [cuda, cpu])
