"""What happens to clips out there: noise, rooms, levels, telephones, codecs, cuts.

Every condition is a pure function of the samples: which noise, which room, which piece follows from
a hash of them, so the same clip is always spoilt in the same way, whoever asks and in whatever
order. The levels of noise share one noise, and the cuts one place, so that they differ in one thing
only. NumPy, soxr, and libsndfile's own encoders: a device can run it.

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

#: The name of clips as they are, where a table has a row for each condition.
CLEAN = "clean"

_ACTIVE = 1e-3  # of the loudest frame's power: 30 dB below it a frame counts as a pause
_BLOCK = 1 << 16  # samples convolved at a time, so that an hour needs no more memory than a minute
_MP3_DELAY = 1_105  # samples, of LAME's encoder and the decoder: 576 + 529


@dataclass(frozen=True)
class Environment:
    """Decoded noises [N] and room impulse responses [R], at the rate of the clips."""

    noises: Sequence[Samples] = ()
    rooms: Sequence[Samples] = ()


@dataclass(frozen=True)
class Condition:
    """One way to spoil a clip."""

    name: str
    what: str  # for people
    draws: str  # conditions that draw alike share a name here
    apply: Callable[[Samples, int, np.random.Generator, Environment], Samples]
    needs: Literal["", "noises", "rooms"] = ""

    def __call__(self, samples: Samples, rate: int, surroundings: Environment) -> Samples:
        """The clip [S] at ``rate`` Hz under this condition; as long as before, unless it cuts."""
        seed = hashlib.sha256(self.draws.encode() + samples.tobytes()).digest()
        random = np.random.default_rng(int.from_bytes(seed[:8], "big"))
        return self.apply(samples, rate, random, surroundings)


def choose_conditions(wanted: str, surroundings: Environment) -> tuple[list[Condition], list[str]]:
    """The conditions of ``all``, ``none``, or names with commas between; and those left out for
    want of noises or rooms.

    Raises:
        UsageError: a name that there is not.
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
    can = [c for c in conditions if not c.needs or getattr(surroundings, c.needs)]
    return can, [c.name for c in conditions if c not in can]


def active_power(samples: Samples, rate: int) -> float:
    """Mean square of the 20 ms frames within 30 dB of the loudest: pauses do not count.

    A plain stand-in for the active level of ITU-T P.56.
    """
    powers = _frame_powers(samples, rate)
    return float(powers[powers >= _ACTIVE * powers.max()].mean())


def add_noise(samples: Samples, noise: Samples, decibels: float, rate: int) -> Samples:
    """Samples [S] and noise [S] at a signal-to-noise ratio, both by their active power."""
    ratio = active_power(samples, rate) / max(active_power(noise, rate), 1e-20)
    return _within_scale(samples + noise * np.float32(np.sqrt(ratio * 10 ** (-decibels / 10))))


def reverberate(samples: Samples, room: Samples) -> Samples:
    """Samples [S] convolved with a room [R]: in time with the direct path, energy preserved."""
    direct = int(np.argmax(np.abs(room)))
    size = 1 << (_BLOCK + len(room) - 1).bit_length()
    spectrum = np.fft.rfft(room, size)
    wet = np.zeros(len(samples) + size)
    for start in range(0, len(samples), _BLOCK):
        block = samples[start : start + _BLOCK]
        wet[start : start + size] += np.fft.irfft(np.fft.rfft(block, size) * spectrum, size)
    heard = wet[direct : direct + len(samples)]
    energy = float(np.sum(heard**2))
    if energy > 0:
        heard *= np.sqrt(float(np.sum(samples.astype(np.float64) ** 2)) / energy)
    return _within_scale(heard.astype(np.float32))


def _noise(
    decibels: float,
    samples: Samples,
    rate: int,
    random: np.random.Generator,
    surroundings: Environment,
) -> Samples:
    noise = surroundings.noises[int(random.integers(len(surroundings.noises)))]
    piece = np.resize(np.roll(noise, -int(random.integers(len(noise)))), len(samples))
    return add_noise(samples, piece, decibels, rate)


def _reverb(
    samples: Samples, _rate: int, random: np.random.Generator, surroundings: Environment
) -> Samples:
    room = surroundings.rooms[int(random.integers(len(surroundings.rooms)))]
    return reverberate(samples, room)


def _gain(decibels: float, samples: Samples, *_: object) -> Samples:
    """As a 16-bit recorder would: clipped, and rounded."""
    louder = np.rint(samples * np.float32(10 ** (decibels / 20) * 32_768))
    clipped: Samples = np.clip(louder, -32_768, 32_767).astype(np.float32) / np.float32(32_768)
    return clipped


def _telephone(samples: Samples, rate: int, *_: object) -> Samples:
    """300 to 3,400 Hz by a windowed sinc, then mu-law at 8 kHz."""
    narrow = soxr.resample(samples, rate, 8_000)
    times = np.arange(-127, 128) / 8_000
    taps = (6_800 * np.sinc(6_800 * times) - 600 * np.sinc(600 * times)) * np.hamming(255) / 8_000
    band = np.convolve(narrow, taps)[127 : 127 + len(narrow)].astype(np.float32)
    coded = _decoded(_encoded(_within_scale(band), 8_000, "WAV", "ULAW"))
    return _as_long(soxr.resample(coded, 8_000, rate), len(samples))


def _opus(samples: Samples, rate: int, *_: object) -> Samples:
    return _through(samples, rate, "OGG", "OPUS", 0.976)  # libsndfile: 256 - 250 level kbit/s


def _mp3(samples: Samples, rate: int, *_: object) -> Samples:
    return _through(samples, rate, "MP3", "MPEG_LAYER_III", 0.842, _MP3_DELAY)  # 160 - 152 level


def _cut(
    seconds: float, samples: Samples, rate: int, random: np.random.Generator, *_: object
) -> Samples:
    """Of eight places the one with the most speech; a clip that is shorter stays as it is."""
    length = round(seconds * rate)
    spare = len(samples) - length
    if spare <= 0:
        return samples
    powers = _frame_powers(samples, rate)
    active = np.cumsum(np.append(0, powers >= _ACTIVE * powers.max()))
    frame = _frame(rate)
    starts = (random.random(8) * (spare + 1)).astype(int)
    last = len(active) - 1
    speech = [
        active[min((start + length) // frame, last)] - active[min(start // frame, last)]
        for start in starts
    ]
    start = int(starts[int(np.argmax(speech))])
    return samples[start : start + length]


#: Every condition, in the order of a table.
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
    )
}


def _frame(rate: int) -> int:
    return max(1, rate // 50)


def _frame_powers(samples: Samples, rate: int) -> npt.NDArray[np.float64]:
    """Mean square of each 20 ms, the last one of what is left; at least one."""
    frame = _frame(rate)
    starts = np.arange(0, max(len(samples), 1), frame)
    squares = np.append(samples, 0).astype(np.float64) ** 2
    counts = np.diff(np.append(starts, max(len(samples), 1)))
    powers: npt.NDArray[np.float64] = np.add.reduceat(squares, starts) / counts
    return powers


def _within_scale(samples: Samples) -> Samples:
    """Scaled down where it would clip: level is another condition's matter."""
    peak = float(np.abs(samples).max(initial=0))
    return samples if peak <= 1 else samples / np.float32(peak)


def _through(
    samples: Samples, rate: int, container: str, codec: str, level: float, delay: int = 0
) -> Samples:
    """There and back through a codec at 16 kHz."""
    wide = _within_scale(soxr.resample(samples, rate, 16_000))
    padded = np.append(wide, np.zeros(delay, np.float32))
    decoded = _decoded(_encoded(padded, 16_000, container, codec, level))[delay:]
    return _as_long(soxr.resample(decoded, 16_000, rate), len(samples))


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


def _as_long(samples: Samples, length: int) -> Samples:
    return np.append(samples, np.zeros(max(0, length - len(samples)), np.float32))[:length].astype(
        np.float32
    )
