"""What libsndfile does not decode: M4A, WebM and the like, by PyAV where it is installed."""

from __future__ import annotations

import io
import shlex
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from tests.audio.encode import av, encoded_by_av
from tests.conftest import RATE, voice
from voxedge.audio import formats
from voxedge.audio.limits import Limits
from voxedge.audio.load import decode
from voxedge.errors import (
    AudioError,
    BadSamples,
    OutsideLimits,
    TooShort,
    TruncatedAudio,
    UnreadableAudio,
)
from voxedge.install import install_command

SOUND = voice(150, 3.0, 1)
STEREO = np.stack([SOUND, 0.5 * SOUND], axis=1)
AT_48K = {"codec_rate": 48_000, "bit_rate": 96_000}
AT_8K = {"codec_rate": 8_000}
FRONT = {"options": {"movflags": "+faststart"}}
FRAGMENTS = {"options": {"movflags": "frag_keyframe+empty_moov+default_base_moof"}}
LIVE = {"options": {"live": "1"}} | AT_48K

#: Container and codec of FFmpeg, and options.
MONO = {
    "M4A of a phone": ("ipod", "aac", {}),
    "M4A at 44.1 kHz": ("ipod", "aac", {"codec_rate": 44_100}),
    "M4A, index first": ("ipod", "aac", FRONT),
    "ALAC": ("ipod", "alac", {}),
    "QuickTime": ("mov", "pcm_s16le", {}),
    "MP4 in fragments": ("mp4", "aac", FRAGMENTS),
    "3GP": ("3gp", "libopencore_amrnb", AT_8K),
    "WebM": ("webm", "libopus", AT_48K),
    "WebM of a browser": ("webm", "libopus", LIVE),
    "MKA": ("matroska", "flac", {}),
    "AMR": ("amr", "libopencore_amrnb", AT_8K),
    "WMA": ("asf", "wmav2", {"codec_rate": 44_100, "bit_rate": 64_000}),
    "AAC": ("adts", "aac", {}),
    "AC-3": ("ac3", "ac3", AT_48K),
    "AC-3 at 44.1 kHz": ("ac3", "ac3", {"codec_rate": 44_100, "bit_rate": 96_000}),
    "E-AC-3": ("eac3", "eac3", AT_48K),
    "FLAC in Ogg": ("ogg", "flac", {}),
    "IMA4 in CAF": ("caf", "adpcm_ima_qt", {}),
    "AVI": ("avi", "libmp3lame", {}),
    "WavPack": ("wv", "wavpack", {}),
    "True Audio": ("tta", "tta", {}),
    "G.722 in WAV": ("wav", "g722", {}),
    "G.726 in WAV": ("wav", "g726", AT_8K),
    "WMA in WAV": ("wav", "wmav2", {"bit_rate": 32_000}),
    "G.722 in AU": ("au", "g722", {}),
}
FILES = {name: encoded_by_av(SOUND, *kind, **rest) for name, (*kind, rest) in MONO.items()}
LOSSLESS = {"ALAC", "QuickTime", "MKA", "FLAC in Ogg"}


def alike(samples: np.ndarray, expected: np.ndarray) -> float:
    """Correlation of the spectra up to 3.4 kHz, of 2.5 s."""
    used = slice(0, int(2.5 * 3_400))
    one, other = (np.abs(np.fft.rfft(x[: int(2.5 * RATE)]))[used] for x in (samples, expected))
    return float(np.corrcoef(one, other)[0, 1])


@pytest.mark.parametrize("name", FILES)
def test_what_phones_and_browsers_record_is_decoded(name):
    clip = decode(FILES[name], RATE)
    assert clip.samples.dtype == np.float32
    assert clip.warnings == ()
    assert clip.channels == 1
    assert clip.source_rate == MONO[name][2].get("codec_rate", RATE)
    assert clip.seconds == pytest.approx(3, abs=0.11)
    assert alike(clip.samples, SOUND) > 0.9
    if name in LOSSLESS:
        np.testing.assert_allclose(clip.samples, SOUND, atol=2**-14)
    assert decode(FILES[name], RATE, strict=True).warnings == ()


@pytest.mark.parametrize(
    "name", ["M4A of a phone", "ALAC", "WebM", "MKA", "WMA", "AC-3", "WavPack"]
)
def test_channels_are_averaged(name):
    container, codec, rest = MONO[name]
    clip = decode(encoded_by_av(STEREO, container, codec, **rest), RATE)
    assert (clip.channels, clip.warnings) == (2, ())
    assert alike(clip.samples, SOUND) > 0.9
    level = np.sqrt(np.mean(np.square(clip.samples)) / np.mean(np.square(SOUND)))
    assert level == pytest.approx(0.75, abs=0.04)


@pytest.mark.parametrize("kind", [("ipod", "aac"), ("wv", "wavpack"), ("matroska", "flac")])
@pytest.mark.parametrize("channels", [6, 8])
def test_more_channels_than_two_are_averaged(kind, channels):
    gains = np.linspace(0.3, 1, channels, dtype=np.float32)
    clip = decode(encoded_by_av(SOUND[:, None] * gains, *kind), RATE)
    assert (clip.channels, clip.warnings) == (channels, ())
    assert alike(clip.samples, SOUND) > 0.9
    level = np.sqrt(np.mean(np.square(clip.samples)) / np.mean(np.square(SOUND)))
    assert level == pytest.approx(gains.mean(), rel=0.25)  # one is for bass alone


def test_a_name_does_not_decide_which_format_it_is(tmp_path):
    expected = decode(FILES["M4A of a phone"], RATE).samples
    for name in ("clip.m4a", "clip.wav", "clip", "clip.mp3"):
        (tmp_path / name).write_bytes(FILES["M4A of a phone"])
        np.testing.assert_array_equal(decode(tmp_path / name, RATE).samples, expected)
    with (tmp_path / "clip").open("rb") as file:
        file.seek(99)
        np.testing.assert_array_equal(decode(file, RATE).samples, expected)
        assert not file.closed


#: Those whose end can be told from a cut.
COMPLETE = FILES.keys() - {"WebM of a browser", "AC-3", "AC-3 at 44.1 kHz", "E-AC-3"}


@pytest.mark.parametrize("part", [0.5, 0.9])
@pytest.mark.parametrize("name", sorted(COMPLETE))
def test_a_file_that_is_cut_off_gives_a_warning_or_an_error(name, part):
    data = FILES[name][: int(part * len(FILES[name]))]
    with pytest.raises(TruncatedAudio):
        decode(data, RATE, strict=True)
    try:
        clip = decode(data, RATE)
    except TruncatedAudio:  # its index is at the end, or its only block is cut
        return
    whole = decode(FILES[name], RATE).samples
    assert clip.warnings
    assert 0.2 * RATE < len(clip.samples) < len(whole)
    shared = min(len(clip.samples), len(whole)) - RATE // 4
    np.testing.assert_allclose(clip.samples[:shared], whole[:shared], atol=2e-3)


@pytest.mark.parametrize("size", [0, 2**64 - 1])
def test_a_caf_of_unknown_length_is_whole(size):
    """Recorders write it so that nothing need be filled in afterwards."""
    file = io.BytesIO()
    soundfile.write(file, SOUND, RATE, "PCM_16", format="CAF")
    data = bytearray(file.getvalue())
    at = data.index(b"data") + 4
    data[at : at + 8] = size.to_bytes(8, "big")
    clip = decode(bytes(data), RATE, strict=True)
    assert clip.warnings == ()
    np.testing.assert_allclose(clip.samples, SOUND, atol=2**-14)


def test_limits_hold():
    data = FILES["M4A of a phone"]
    cut = decode(data, RATE, Limits(max_seconds=1))
    assert (cut.seconds, len(cut.samples)) == (1, RATE)
    assert cut.warnings == ("longer than 1 s: the rest is left out",)
    with pytest.raises(OutsideLimits, match="longer than 1 s"):
        decode(data, RATE, Limits(max_seconds=1), strict=True)
    for limits, message in (
        (Limits(max_bytes=100), "bytes"),
        (Limits(max_rate=8_000), "16000 Hz"),
        (Limits(min_rate=22_050), "16000 Hz"),
    ):
        with pytest.raises(OutsideLimits, match=message):
            decode(data, RATE, limits)
    with pytest.raises(OutsideLimits, match="2 channels"):
        decode(encoded_by_av(STEREO, "ipod", "aac"), RATE, Limits(max_channels=1))
    with pytest.raises(TooShort):
        decode(data, RATE, Limits(min_seconds=10))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e9])
def test_bad_samples_are_refused(value):
    samples = SOUND.copy()
    samples[2 * RATE] = value
    data = bytearray(encoded_by_av(SOUND, "mov", "pcm_f32le"))
    at = data.index(SOUND[2 * RATE : 2 * RATE + 8].tobytes())
    data[at : at + 4] = samples[2 * RATE].tobytes()
    with pytest.raises(BadSamples):
        decode(bytes(data), RATE)


def test_a_sample_rate_that_changes_ends_the_clip():
    other = encoded_by_av(SOUND, "adts", "aac", codec_rate=44_100)
    clip = decode(FILES["AAC"] + other, RATE)
    assert clip.seconds == pytest.approx(3, abs=0.11)
    assert "the sample rate changes to 44100 Hz" in clip.warnings[0]
    with pytest.raises(TruncatedAudio, match="44100"):
        decode(FILES["AAC"] + other, RATE, strict=True)


def test_channels_that_come_later_are_mixed_in():
    stereo = encoded_by_av(np.stack([SOUND, SOUND], axis=1), "adts", "aac")
    for data in (FILES["AAC"] + stereo, stereo + FILES["AAC"]):
        clip = decode(data, RATE)
        assert clip.seconds == pytest.approx(6, abs=0.3)
        assert clip.warnings == ()
        assert alike(clip.samples[-3 * RATE :], SOUND) > 0.9


def test_one_of_several_tracks_is_used_with_a_warning():
    clip = decode(encoded_by_av(SOUND, "ipod", "aac", tracks=2), RATE)
    assert clip.warnings == ("2 audio tracks: only one is used",)
    assert alike(clip.samples, SOUND) > 0.9


@pytest.mark.parametrize("name", ["WebM", "M4A, index first", "AMR", "True Audio", "WMA"])
def test_of_two_files_in_one_the_first_is_used_with_a_warning(name):
    data, alone = FILES[name], decode(FILES[name], RATE)
    both = decode(data + data, RATE)
    assert len(both.warnings) == 1
    assert f"file follows: its {len(data)} bytes are not used" in both.warnings[0]
    np.testing.assert_array_equal(both.samples, alone.samples)


def silent_video(container: str) -> bytes:
    """Ten pictures, and no sound."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        for _ in range(10):
            picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize("container", ["mov", "matroska", "avi"])
def test_a_film_without_sound_is_refused(container):
    with pytest.raises(UnreadableAudio, match="there is no audio in it"):
        decode(silent_video(container), RATE)


@pytest.mark.parametrize(
    ("name", "known", "other"),
    [
        ("MKA", b"A_FLAC", b"A_NONE"),
        ("WebM", b"A_OPUS", b"A_NONE"),
        ("AVI", b"\x55\0", b"\x99\x99"),
    ],
)
def test_a_codec_that_pyav_does_not_decode_is_refused(name, known, other):
    with pytest.raises(UnreadableAudio, match=r"does not decode its codec .*ffmpeg -i CLIP"):
        decode(FILES[name].replace(known, other, 1), RATE)


def test_a_read_error_is_an_audio_error(capfd):
    class Failing(io.BytesIO):
        left = 0  # reads

        def read(self, size: int | None = -1) -> bytes:
            self.left -= 1
            if self.left < 0:
                raise OSError(5, "Input/output error")
            return super().read(size)

    for name in ("WebM", "MKA", "AAC"):
        messages = set()
        for reads in range(12):
            file = Failing(FILES[name])
            file.left = reads
            try:
                decode(file, RATE)
            except AudioError as error:
                messages.add(error.message)
        assert messages == {"cannot be read: Input/output error"}
    assert capfd.readouterr() == ("", "")


PLAYLISTS = {
    "HLS": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{}'\n",
    "SDP": "v=0\nm=audio 9 RTP/AVP 0\na=control:{}\n",
}


@pytest.mark.parametrize("text", PLAYLISTS.values(), ids=PLAYLISTS)
def test_a_playlist_opens_no_other_file(tmp_path, text):
    (tmp_path / "secret.m4a").write_bytes(FILES["M4A of a phone"])
    for name in ("list.m3u8", "list.m4a", "list.ffconcat"):
        (tmp_path / name).write_text(text.format(tmp_path / "secret.m4a"))
        with pytest.raises(UnreadableAudio, match="not an audio file"):
            decode(tmp_path / name, RATE)


@pytest.fixture
def without_av(monkeypatch):
    """As if PyAV were not installed."""
    monkeypatch.setattr(formats, "has_av", lambda: False)


@pytest.mark.parametrize("name", FILES)
def test_without_pyav_the_extra_and_a_command_that_converts_are_named(name, tmp_path, without_av):
    path = tmp_path / "my clip.xyz"
    path.write_bytes(FILES[name])
    with pytest.raises(UnreadableAudio, match="PyAV, which is not installed") as caught:
        decode(path, RATE)
    pip, _, convert = caught.value.hint.partition("; or convert it: ")
    assert pip == install_command("av")
    assert "[av]" in pip
    command = ["ffmpeg", "-i", str(path), str(tmp_path / "my clip.wav")]
    assert shlex.split(convert) == command
    (tmp_path / "named.wav").write_bytes(FILES[name])
    with pytest.raises(UnreadableAudio, match=r"named-converted\.wav"):
        decode(tmp_path / "named.wav", RATE)
    with pytest.raises(UnreadableAudio, match=r"ffmpeg -i CLIP clip\.wav"):
        decode(FILES[name], RATE)


def test_clips_that_others_decode_do_not_load_pyav(tmp_path):
    code = """
import io, sys
import numpy as np, soundfile
from voxedge import load_audio
for kind, subtype in (("WAV", None), ("WAV", "ULAW"), ("FLAC", None), ("OGG", "VORBIS"),
                      ("OGG", "OPUS"), ("MP3", None), ("AIFF", None), ("CAF", "ALAC_16")):
    file = io.BytesIO()
    soundfile.write(file, 0.1 * np.random.default_rng(0).standard_normal(16_000), 16_000,
                    format=kind, subtype=subtype)
    load_audio(file.getvalue())
print("av" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
