from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
import soxr

from tests.conftest import RATE, voice
from voxedge import load_audio
from voxedge.audio.arrays import from_array
from voxedge.audio.limits import Limits
from voxedge.audio.load import decode, stream
from voxedge.errors import AudioError, BadSamples, OutsideLimits, TooShort, UnreadableAudio

SOUND = voice(150, 2.0, 1)


def encoded(samples: np.ndarray, rate: int = RATE, **options) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, **({"format": "WAV"} | options))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("format_", "subtype", "tolerance"),
    [
        ("WAV", "PCM_16", 1e-4),
        ("WAV", "PCM_24", 1e-6),
        ("WAV", "FLOAT", 0),
        ("FLAC", "PCM_16", 1e-4),
        ("AIFF", "PCM_16", 1e-4),
        ("W64", "PCM_16", 1e-4),
        ("CAF", "PCM_16", 1e-4),
    ],
)
def test_every_lossless_container_gives_the_same_samples(tmp_path, format_, subtype, tolerance):
    path = tmp_path / "clip"
    path.write_bytes(encoded(SOUND, format=format_, subtype=subtype))
    samples = load_audio(path)
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, SOUND, atol=tolerance)


@pytest.mark.parametrize(
    ("format_", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]
)
def test_lossy_formats_keep_the_voice(tmp_path, format_, subtype):
    path = tmp_path / "clip"
    path.write_bytes(encoded(SOUND, format=format_, subtype=subtype))
    samples = load_audio(path)
    assert len(samples) == pytest.approx(len(SOUND), rel=0.1)
    ours, theirs = (np.abs(np.fft.rfft(x[:24_000])) for x in (samples, SOUND))
    assert np.corrcoef(ours, theirs)[0, 1] > 0.9


def test_a_bare_mp3_stream_is_not_taken_for_a_resource_fork(tmp_path, monkeypatch):
    """libsndfile looks for "._" in the current folder first (its issue 1112)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "._").touch()
    data = encoded(SOUND, format="MP3", subtype="MPEG_LAYER_III")
    assert data[:1] == b"\xff"
    assert len(load_audio(data)) == len(SOUND)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 44_101, 48_000, 96_000])
def test_every_rate_is_resampled_to_the_models(tmp_path, rate):
    there = soxr.resample(SOUND, RATE, rate)
    (tmp_path / "clip.wav").write_bytes(encoded(there, rate, subtype="FLOAT"))
    samples = load_audio(tmp_path / "clip.wav")
    assert len(samples) == pytest.approx(len(SOUND), abs=4)
    whole = soxr.resample(there, rate, RATE)
    size = min(len(samples), len(whole))
    np.testing.assert_allclose(samples[:size], whole[:size], atol=1e-4)  # streamed as in one go


def test_channels_are_averaged():
    stereo = np.stack([SOUND, 0.5 * SOUND], axis=1)
    decoded = decode(encoded(stereo, subtype="FLOAT"), RATE)
    assert decoded.channels == 2
    np.testing.assert_allclose(decoded.samples, 0.75 * SOUND, atol=1e-6)


def test_a_long_clip_is_cut_at_the_limit_with_a_warning():
    decoded = decode(encoded(SOUND), RATE, Limits(max_seconds=1))
    assert decoded.seconds == 1.0
    assert len(decoded.samples) == RATE
    assert "longer than 1 s" in decoded.warnings[0]
    with pytest.raises(OutsideLimits):
        decode(encoded(SOUND), RATE, Limits(max_seconds=1), strict=True)


def test_sources_may_be_paths_bytes_and_files(tmp_path):
    data = encoded(SOUND)
    (tmp_path / "clip.wav").write_bytes(data)
    with (tmp_path / "clip.wav").open("rb") as file:
        results = [
            load_audio(s) for s in (tmp_path / "clip.wav", str(tmp_path / "clip.wav"), data, file)
        ]
    for samples in results[1:]:
        np.testing.assert_array_equal(samples, results[0])


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint8])
def test_integer_arrays_are_scaled_by_their_range(dtype):
    info = np.iinfo(dtype)
    middle = 128 if dtype == np.uint8 else 0
    scale = (int(info.max) - int(info.min) + 1) / 2
    values = np.clip(np.rint(SOUND * scale + middle), info.min, info.max).astype(dtype)
    audio = from_array(values, RATE, RATE)
    np.testing.assert_allclose(audio.samples, SOUND, atol=2 / scale)


def test_arrays_may_be_read_only_strided_and_of_two_channels():
    both = np.repeat(SOUND, 2)[::2]
    both.setflags(write=False)
    np.testing.assert_array_equal(from_array(both, RATE, RATE).samples, SOUND)
    reversed_twice = SOUND[::-1].copy()[::-1]
    np.testing.assert_array_equal(from_array(reversed_twice, RATE, RATE).samples, SOUND)
    stereo = np.stack([SOUND, 0.5 * SOUND], axis=1)
    np.testing.assert_allclose(from_array(stereo, RATE, RATE).samples, 0.75 * SOUND, atol=1e-7)


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.full(9000, np.nan), BadSamples),
        (np.full(9000, np.inf), BadSamples),
        (np.full(9000, 1e300), BadSamples),
        (np.full(9000, 3e38, np.float32), BadSamples),
        (SOUND * 32_768, BadSamples),
        (np.array(["a"] * 9000), BadSamples),
        (np.arange(9000), BadSamples),
        (np.zeros((3, 3, 3)), BadSamples),
        (np.zeros((9000, 40)), OutsideLimits),
        (np.zeros(10), TooShort),
        (np.zeros(0), TooShort),
    ],
)
def test_arrays_that_are_not_samples_are_refused(array, error):
    with pytest.raises(error):
        from_array(array, RATE, RATE)


def test_a_read_error_is_an_audio_error():
    class Failing(io.BytesIO):
        def read(self, *_):
            raise OSError(5, "Input/output error")

    with pytest.raises(AudioError, match="Input/output error"):
        decode(Failing(b"RIFF"), RATE)


def test_a_missing_file_is_an_audio_error():
    with pytest.raises(AudioError):
        load_audio("nowhere.wav")


@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (RATE, 1)])
def test_a_stream_gives_the_same_samples_block_by_block(rate, channels):
    """Also where nothing is converted, and blocks are what the reader has filled."""
    clip = encoded(np.tile(np.stack([SOUND, 0.5 * SOUND], axis=1)[:, :channels], (30, 1)), rate)
    with stream(clip, RATE) as blocks:
        parts = list(blocks)
    whole = decode(clip, RATE)
    assert max(map(len, parts)) < len(whole.samples) / 10
    assert (np.concatenate(parts) == whole.samples).all()
    assert blocks.seconds == whole.seconds


def test_a_stream_raises_at_the_block_that_is_unusable():
    sound = np.tile(SOUND, 5)
    sound[-100] = np.nan
    with stream(encoded(sound, subtype="FLOAT"), RATE) as blocks:
        parts = iter(blocks)
        assert np.isfinite(next(parts)).all()
        with pytest.raises(BadSamples, match="NaN"):
            list(parts)


def test_a_read_error_within_a_stream_is_an_audio_error():
    class Failing(io.BytesIO):
        lost = False

        def read(self, *size):
            if self.lost:
                raise OSError(5, "Input/output error")
            return super().read(*size)

    file = Failing(encoded(SOUND))
    with stream(file, RATE) as blocks:
        file.lost = True
        with pytest.raises(UnreadableAudio, match="Input/output error"):
            list(blocks)
