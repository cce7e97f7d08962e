"""Raw samples: read as described, and recognised where they are not described."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from tests.audio.test_load import encoded
from tests.conftest import RATE, voice
from voxedge.audio.limits import Limits
from voxedge.audio.load import decode
from voxedge.audio.raw import RawFormat
from voxedge.errors import BadSamples, OutsideLimits, TooShort, UnreadableAudio, UsageError

SOUND = voice(150, 2.0, 1)

#: libsndfile's names of the encodings, its byte order, and the quantisation.
ENCODINGS = {
    "u8": ("PCM_U8", "LITTLE", 2**-7),
    "s16le": ("PCM_16", "LITTLE", 2**-15),
    "s16be": ("PCM_16", "BIG", 2**-15),
    "s24le": ("PCM_24", "LITTLE", 2**-23),
    "s24be": ("PCM_24", "BIG", 2**-23),
    "s32le": ("PCM_32", "LITTLE", 2**-23),
    "s32be": ("PCM_32", "BIG", 2**-23),
    "f32le": ("FLOAT", "LITTLE", 0),
    "f32be": ("FLOAT", "BIG", 0),
    "f64le": ("DOUBLE", "LITTLE", 0),
    "f64be": ("DOUBLE", "BIG", 0),
    "alaw": ("ALAW", "LITTLE", 2**-6),
    "mulaw": ("ULAW", "LITTLE", 2**-6),
}


def raw(samples: np.ndarray, encoding: str, folder) -> bytes:
    subtype, endian, _ = ENCODINGS[encoding]
    path = folder / "clip.raw"
    soundfile.write(path, samples, RATE, subtype, endian, format="RAW")
    return path.read_bytes()


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_is_the_same_sound(encoding, channels, tmp_path):
    samples = np.stack([SOUND, 0.5 * SOUND], axis=1)[:, :channels]
    data = raw(samples, encoding, tmp_path)
    described = RawFormat.parse(f"{encoding},{RATE},{channels}")
    for source in (data, tmp_path / "clip.raw"):
        clip = decode(source, RATE, raw=described)
        assert (clip.seconds, clip.channels, clip.warnings) == (2, channels, ())
        step = ENCODINGS[encoding][2]
        np.testing.assert_allclose(clip.samples, samples.mean(axis=1), atol=step + 1e-7)


def test_another_rate_is_resampled_and_a_cut_frame_left_out(tmp_path):
    data = raw(SOUND, "s16le", tmp_path)
    clip = decode(data + b"\1", RATE, raw=RawFormat.parse("s16le,8000,2"))
    assert (clip.seconds, clip.source_rate, len(clip.samples)) == (2, 8_000, len(SOUND))


@pytest.mark.parametrize(
    "text",
    ["", "s16le", "s16le,16000", "s16le,16000,1,1", "s16,16000,1", "s16le,-1,1", "s16le,1e4,1"],
)
def test_another_description_is_a_usage_error(text):
    with pytest.raises(UsageError, match=r"such as s16le,16000,1, not .*mulaw"):
        RawFormat.parse(text)


@pytest.mark.parametrize(
    "text", ["s16le,16000,0", "s16le,0,1", "u8,16000,99999", "u8,9999999999,1"]
)
def test_impossible_numbers_are_a_usage_error(text):
    with pytest.raises(UsageError):
        RawFormat.parse(text)


def test_limits_hold(tmp_path):
    data = raw(SOUND, "s16le", tmp_path)
    with pytest.raises(OutsideLimits, match="1 Hz"):
        decode(data, RATE, raw=RawFormat("s16le", 1, 1))
    with pytest.raises(OutsideLimits, match="33 channels"):
        decode(data, RATE, raw=RawFormat("s16le", RATE, 33))
    with pytest.raises(TooShort, match="no samples"):
        decode(b"\0", RATE, raw=RawFormat("s16le", RATE, 1))
    with pytest.raises(BadSamples):
        decode(data, RATE, raw=RawFormat("f32le", RATE, 1))
    cut = decode(data, RATE, Limits(max_seconds=1), raw=RawFormat("s16le", RATE, 1))
    assert cut.warnings == ("longer than 1 s: the rest is left out",)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "AIFF", "CAF"])
def test_a_file_with_a_header_is_not_raw(kind):
    with pytest.raises(UnreadableAudio, match="a file with a header"):
        decode(encoded(SOUND, format=kind), RATE, raw=RawFormat("s16le", RATE, 1))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_may_be_raw_samples_says_how_to_read_them(encoding, tmp_path):
    data = raw(SOUND, encoding, tmp_path)
    with pytest.raises(UnreadableAudio, match=r"--raw s16le,16000,1 .*ffmpeg -i CLIP clip\.wav"):
        decode(data, RATE)
    with pytest.raises(UnreadableAudio, match=r"ffmpeg -i \S+clip\.raw \S+clip\.wav"):
        decode(tmp_path / "clip.raw", RATE)


def test_text_is_not_taken_for_raw_samples():
    with pytest.raises(UnreadableAudio) as caught:
        decode(b"<html>404</html>\n" * 99, RATE)
    assert caught.value.hint == ""
