"""Audio files that PyAV writes: what phones, browsers and old recorders write."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av", reason="PyAV is not installed: pip install -e '.[av]'")

_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


def encoded_by_av(
    samples: np.ndarray,
    container: str,
    codec: str,
    *,
    rate: int = 16_000,
    codec_rate: int | None = None,
    bit_rate: int | None = None,
    options: dict[str, str] | None = None,
    tracks: int = 1,
) -> bytes:
    """Samples [S] or [S, channels] at ``rate`` Hz as a file of FFmpeg's.

    Args:
        samples: float32 in [-1, 1].
        container: FFmpeg's name of the container.
        codec: FFmpeg's name of the codec.
        rate: of the samples, Hz.
        codec_rate: of the file, Hz; by default the same.
        bit_rate: of the file, where the codec's default is none.
        options: of the container.
        tracks: of the same audio.
    """
    columns = samples if samples.ndim == 2 else samples[:, None]
    layout, target = _LAYOUTS[columns.shape[1]], codec_rate or rate
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip"
        with av.open(str(path), "w", format=container, options=options or {}) as output:
            streams = [output.add_stream(codec, rate=target, layout=layout) for _ in range(tracks)]
            for stream in streams:
                if bit_rate:
                    stream.bit_rate = bit_rate
                mixed = columns.astype(np.float32).reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(mixed, format="flt", layout=layout)
                frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
                resampler = av.AudioResampler(stream.format or "fltp", layout, target)
                for part in (*resampler.resample(frame), *resampler.resample(None)):
                    output.mux(stream.encode(part))
                output.mux(stream.encode(None))
        return path.read_bytes()
