"""Conditions that degrade clips before they are evaluated: noise, rooms, gain, codecs, pauses.

Every condition is a pure function of the samples: their hash seeds the choice of the noise, the
room or the segment, so a clip is always degraded in the same way. All levels of noise use the same
noise for a clip, all cuts the same random places, and all pauses are divided alike before and after
it, so that conditions of one kind differ in one parameter only. NumPy, soxr and the encoders of
libsndfile suffice, so a device can run it.

Shapes: S samples of a clip, N of a noise, R of an impulse response; float32 in [-1, 1].
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from voxedge.audio.limits import Samples
from voxedge.errors import UsageError

#: Name of the condition of clips that are not degraded.
CLEAN = "clean"

_ACTIVE = 1e-3  # share of the loudest frame's power (-30 dB) below which a frame is a pause
_BLOCK = 1 << 16  # samples convolved at a time, so that memory does not grow with the clip
_HISS = 10 ** (-75 / 20)  # -75 dBFS, of a quiet sound card
_QUIETEST = 15  # frames, 0.3 s, of a clip that are taken for its background
_LONGEST_PAUSE = 300  # seconds that are added at most, so that memory does not grow with the clip
_MP3_DELAY = 1_105  # samples: 576 of LAME's encoder, 529 of the decoder


@dataclass(frozen=True)
class Environment:
    """Noises [N] and room impulse responses [R], at the sample rate of the clips."""

    noises: Sequence[Samples] = ()
    rooms: Sequence[Samples] = ()


@dataclass(frozen=True)
class Condition:
    """A way to degrade a clip."""

    name: str
    description: str
    seed: str  # conditions with the same seed make the same random choices for a clip
    apply: Callable[[Samples, int, np.random.Generator, Environment], Samples]
    needs: Literal["", "noises", "rooms"] = ""

    def __call__(self, samples: Samples, rate: int, environment: Environment) -> Samples:
        """Degrade a clip [S] at ``rate`` Hz; only cuts and pauses change its length."""
        digest = hashlib.sha256(self.seed.encode() + samples.tobytes()).digest()
        random = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        return self.apply(samples, rate, random, environment)


def choose_conditions(wanted: str, environment: Environment) -> tuple[list[Condition], list[str]]:
    """Return the wanted conditions, and the names of those whose noises or rooms are missing.

    Args:
        wanted: ``all``, ``none``, or names separated by commas.
        environment: the noises and rooms that are available.

    Raises:
        UsageError: there is no condition of that name.
    """
    names = list(CONDITIONS) if wanted == "all" else [name for name in wanted.split(",") if name]
    if wanted in ("none", CLEAN):
        names = []
    for name in names:
        if name not in CONDITIONS:
            raise UsageError(
                f"there is no condition {name!r}", f"all, none, {','.join(CONDITIONS)}"
            )
    conditions = [CONDITIONS[name] for name in dict.fromkeys(names)]
    possible = [c for c in conditions if not c.needs or getattr(environment, c.needs)]
    return possible, [c.name for c in conditions if c not in possible]


def active_power(samples: Samples, rate: int) -> float:
    """Mean square of samples [S] without pauses: of the 20 ms frames within 30 dB of the loudest.

    A simple approximation of the active speech level of ITU-T P.56.
    """
    powers = _frame_powers(samples, rate)
    return float(powers[powers >= _ACTIVE * powers.max()].mean())


def add_noise(samples: Samples, noise: Samples, decibels: float, rate: int) -> Samples:
    """Add noise [S] to samples [S] at a signal-to-noise ratio of their active powers, in dB."""
    ratio = active_power(samples, rate) / max(active_power(noise, rate), 1e-20)
    return _within_scale(samples + noise * np.float32(np.sqrt(ratio * 10 ** (-decibels / 10))))


def reverberate(samples: Samples, room: Samples) -> Samples:
    """Convolve samples [S] with an impulse response [R], keeping their timing and energy.

    The direct path (the largest value of the response) is taken as time zero.
    """
    direct = int(np.argmax(np.abs(room)))
    size = 1 << (_BLOCK + len(room) - 1).bit_length()
    spectrum = np.fft.rfft(room, size)
    wet = np.zeros(len(samples) + size)
    for start in range(0, len(samples), _BLOCK):
        block = samples[start : start + _BLOCK]
        wet[start : start + size] += np.fft.irfft(np.fft.rfft(block, size) * spectrum, size)
    aligned = wet[direct : direct + len(samples)]
    energy = float(np.sum(aligned**2))
    if energy > 0:
        aligned *= np.sqrt(float(np.sum(samples.astype(np.float64) ** 2)) / energy)
    return _within_scale(aligned.astype(np.float32))


def _noise(
    decibels: float,
    samples: Samples,
    rate: int,
    random: np.random.Generator,
    environment: Environment,
) -> Samples:
    noise = environment.noises[int(random.integers(len(environment.noises)))]
    start = int(random.integers(len(noise)))
    segment = np.resize(np.roll(noise, -start), len(samples))
    return add_noise(samples, segment, decibels, rate)


def _reverb(
    samples: Samples, _rate: int, random: np.random.Generator, environment: Environment
) -> Samples:
    room = environment.rooms[int(random.integers(len(environment.rooms)))]
    return reverberate(samples, room)


def _gain(decibels: float, samples: Samples, *_: object) -> Samples:
    """Amplify, then clip and round as a 16-bit recorder does."""
    scaled = np.rint(samples * np.float32(10 ** (decibels / 20) * 32_768))
    clipped: Samples = np.clip(scaled, -32_768, 32_767).astype(np.float32) / np.float32(32_768)
    return clipped


def _telephone(samples: Samples, rate: int, *_: object) -> Samples:
    """Band-pass 300 to 3,400 Hz by a windowed sinc, then encode as mu-law at 8 kHz."""
    narrow = soxr.resample(samples, rate, 8_000)
    times = np.arange(-127, 128) / 8_000
    taps = (6_800 * np.sinc(6_800 * times) - 600 * np.sinc(600 * times)) * np.hamming(255) / 8_000
    band = np.convolve(narrow, taps)[127 : 127 + len(narrow)].astype(np.float32)
    coded = _decoded(_encoded(_within_scale(band), 8_000, "WAV", "ULAW"))
    return _with_length(soxr.resample(coded, 8_000, rate), len(samples))


def _opus(samples: Samples, rate: int, *_: object) -> Samples:
    return _transcoded(samples, rate, "OGG", "OPUS", 0.976)  # libsndfile: 256 - 250 level kbit/s


def _mp3(samples: Samples, rate: int, *_: object) -> Samples:
    return _transcoded(samples, rate, "MP3", "MPEG_LAYER_III", 0.842, _MP3_DELAY)  # 160 - 152 level


def _cut(
    seconds: float, samples: Samples, rate: int, random: np.random.Generator, *_: object
) -> Samples:
    """Return the segment with the most speech of eight random ones; a shorter clip is unchanged."""
    length = round(seconds * rate)
    spare = len(samples) - length
    if spare <= 0:
        return samples
    powers = _frame_powers(samples, rate)
    active = np.cumsum(np.append(0, powers >= _ACTIVE * powers.max()))
    frame = _frame(rate)
    starts = (random.random(8) * (spare + 1)).astype(int)
    last = len(active) - 1
    speech_frames = [
        active[min((start + length) // frame, last)] - active[min(start // frame, last)]
        for start in starts
    ]
    start = int(starts[int(np.argmax(speech_frames))])
    return samples[start : start + length]


def _pause(
    percent: float, samples: Samples, rate: int, random: np.random.Generator, *_: object
) -> Samples:
    """Put the clip at a random place of a longer recording of hiss."""
    before, after = _pause_lengths(percent, samples, rate, random)
    clip = np.pad(samples, (before, after))
    return _within_scale(clip + np.float32(_HISS) * random.standard_normal(len(clip), np.float32))


def _background(
    percent: float, samples: Samples, rate: int, random: np.random.Generator, *_: object
) -> Samples:
    """Put the clip at a random place of a longer recording of its own quietest 0.3 s."""
    before, after = _pause_lengths(percent, samples, rate, random)
    powers = np.convolve(_frame_powers(samples, rate), np.ones(_QUIETEST), "valid")
    start = int(np.argmin(powers)) * _frame(rate) if len(samples) > _QUIETEST * _frame(rate) else 0
    quiet = samples[start : start + _QUIETEST * _frame(rate)]
    loop = np.append(quiet, quiet[::-1])  # forth and back, so that it does not jump
    return np.concatenate([np.resize(loop, before), samples, np.resize(loop, after)])


def _pause_lengths(
    percent: float, samples: Samples, rate: int, random: np.random.Generator
) -> tuple[int, int]:
    """Samples to add before and after a clip, so that they are ``percent`` of the result."""
    pause = round(len(samples) * percent / (100 - percent))
    pause = min(pause, _LONGEST_PAUSE * rate)
    before = int(random.random() * (pause + 1))
    return before, pause - before


#: All conditions by name, in the order of the tables.
CONDITIONS: dict[str, Condition] = {
    condition.name: condition
    for condition in (
        *(
            Condition(
                f"noise{level}",
                f"everyday noise, {level} dB below the speech" if level else "noise as loud as it",
                "noise",
                partial(_noise, level),
                needs="noises",
            )
            for level in (20, 10, 5, 0)
        ),
        Condition("room", "convolved with a room's impulse response", "room", _reverb, "rooms"),
        Condition("gain+20", "20 dB louder, clipped", "", partial(_gain, 20)),
        Condition("gain-20", "20 dB softer, rounded to 16 bits", "", partial(_gain, -20)),
        Condition("telephone", "300 to 3,400 Hz, G.711 mu-law at 8 kHz", "", _telephone),
        Condition("opus12", "Opus at 12 kbit/s", "", _opus),
        Condition("mp332", "MP3 at 32 kbit/s", "", _mp3),
        *(
            Condition(f"cut{s:g}", f"{s:g} s of it, speech preferred", "cut", partial(_cut, s))
            for s in (3, 2, 1, 0.5)
        ),
        *(
            Condition(
                f"pause{percent}",
                f"pauses around it, {percent} % of the recording; hiss at -75 dBFS throughout",
                "pause",
                partial(_pause, percent),
            )
            for percent in (50, 80, 91)
        ),
        *(
            Condition(
                f"background{percent}",
                f"pauses around it, {percent} % of the recording; of its own background",
                "pause",
                partial(_background, percent),
            )
            for percent in (50, 80, 91)
        ),
    )
}


def _frame(rate: int) -> int:
    return max(1, rate // 50)


def _frame_powers(samples: Samples, rate: int) -> npt.NDArray[np.float64]:
    """Mean square of each 20 ms frame of samples [S]; the last frame may be shorter."""
    frame = _frame(rate)
    starts = np.arange(0, max(len(samples), 1), frame)
    squares = np.append(samples, 0).astype(np.float64) ** 2
    counts = np.diff(np.append(starts, max(len(samples), 1)))
    powers: npt.NDArray[np.float64] = np.add.reduceat(squares, starts) / counts
    return powers


def _within_scale(samples: Samples) -> Samples:
    """Scale samples down if they would clip, which is the subject of another condition."""
    peak = float(np.abs(samples).max(initial=0))
    return samples if peak <= 1 else samples / np.float32(peak)


def _transcoded(
    samples: Samples, rate: int, container: str, codec: str, level: float, delay: int = 0
) -> Samples:
    """Encode and decode samples at 16 kHz, and remove the delay of the codec."""
    wide = _within_scale(soxr.resample(samples, rate, 16_000))
    padded = np.append(wide, np.zeros(delay, np.float32))
    decoded = _decoded(_encoded(padded, 16_000, container, codec, level))[delay:]
    return _with_length(soxr.resample(decoded, 16_000, rate), len(samples))


def _encoded(
    samples: Samples, rate: int, container: str, codec: str, level: float | None = None
) -> bytes:
    file = io.BytesIO()
    options = {} if level is None else {"compression_level": level}
    if container == "MP3":
        options["bitrate_mode"] = "CONSTANT"  # type: ignore[assignment]
    soundfile.write(file, samples, rate, codec, format=container, **options)
    return file.getvalue()


def _decoded(data: bytes) -> Samples:
    samples: Samples = soundfile.read(io.BytesIO(data), dtype="float32")[0]
    return samples


def _with_length(samples: Samples, length: int) -> Samples:
    return np.append(samples, np.zeros(max(0, length - len(samples)), np.float32))[:length].astype(
        np.float32
    )
