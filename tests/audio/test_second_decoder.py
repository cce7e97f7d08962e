"""Outside evidence: FFmpeg, by PyAV, finds the same samples in files that we read without it."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from tests.audio.encode import av
from tests.conftest import voice
from voxedge.audio.load import decode

RATE = 48_000  # of Opus: no decoder resamples
LEFT, RIGHT = (voice(pitch, 1.0, seed) for seed, pitch in enumerate((110.0, 190.0)))
STEREO = np.stack([LEFT, 0.5 * RIGHT], axis=1)

#: Containers and encodings of libsndfile in which decoders agree on every sample.
LOSSLESS = [
    *(("WAV", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")),
    *(("WAV", subtype) for subtype in ("ULAW", "ALAW", "IMA_ADPCM")),
    *(("AIFF", "PCM_16"), ("AU", "PCM_24"), ("CAF", "PCM_16")),
    *(("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("W64", "FLOAT"), ("RF64", "PCM_16")),
]
#: Those in which they round differently, or end a block sooner: by how much they may differ, in dB.
LOSSY = {
    ("OGG", "VORBIS"): 100.0,
    ("OGG", "OPUS"): 45.0,
    ("MP3", "MPEG_LAYER_III"): 100.0,
    ("CAF", "ALAC_16"): 100.0,
    ("WAV", "MS_ADPCM"): 30.0,  # FFmpeg's predictor rounds in another way
}
_STEP = 2.0**-15
_BLOCK = 512  # samples


def written(samples: np.ndarray, kind: str, subtype: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=kind, subtype=subtype)
    return file.getvalue()


def by_ffmpeg(data: bytes) -> np.ndarray:
    """The mean of the channels, as FFmpeg decodes them: float32 [S]."""
    blocks = []
    with av.open(io.BytesIO(data)) as file:
        channels = file.streams.audio[0].channels
        layout = "stereo" if channels == 2 else "mono"
        to_float = av.AudioResampler("fltp", layout, RATE)
        for frame in file.decode(audio=0):
            blocks += [part.to_ndarray() for part in to_float.resample(frame)]
    return np.concatenate(blocks, axis=1).mean(axis=0)


@pytest.mark.parametrize("samples", [LEFT, STEREO], ids=["mono", "stereo"])
@pytest.mark.parametrize(("kind", "subtype"), LOSSLESS, ids=str)
def test_the_samples_are_those_of_ffmpeg(kind, subtype, samples):
    data = written(samples, kind, subtype)
    ours, theirs = decode(data, RATE).samples, by_ffmpeg(data)
    assert len(ours) == len(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=_STEP / 256)


@pytest.mark.parametrize("samples", [LEFT, STEREO], ids=["mono", "stereo"])
@pytest.mark.parametrize(("kind", "subtype"), LOSSY, ids=str)
def test_what_loses_is_decoded_alike(kind, subtype, samples):
    data = written(samples, kind, subtype)
    ours, theirs = decode(data, RATE).samples, by_ffmpeg(data)
    length = min(len(ours), len(theirs))
    assert max(len(ours), len(theirs)) - length < _BLOCK
    error, power = np.square(ours[:length] - theirs[:length]).mean(), np.square(ours).mean()
    assert error < power * 10 ** (-LOSSY[kind, subtype] / 10)
