"""A synthetic corpus for the demonstration: twelve voices of espeak-ng read fourteen sentences.

Recordings of real people are large, licensed and not ours to ship, and nobody would run a
demonstration that starts with a download of 30 GB. espeak-ng comes as a small wheel
(``espeakng_loader``: the library and its data, no system package) and is called through ctypes,
because the bindings on PyPI play to a sound card or need a system library. Its voices are easier to
distinguish than people, so the accuracy on this corpus shows that everything works, not how well.

The synthesiser keeps state (the phase of its oscillators, its random numbers) from one sentence to
the next and cannot be reset. So a new process reads all sentences of each voice, and the same call
gives the same bytes on every run.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voxedge.errors import MissingExtra, UsageError, VoxedgeError
from voxedge.files import atomic_write
from voxedge.install import install_command


@dataclass(frozen=True)
class Voice:
    """A speaker of the corpus.

    Args:
        name: of the speaker's folder.
        espeak: voice of espeak-ng, as language+variant.
        pitch: 0 to 99, on the scale of espeak-ng; 50 is the voice's own pitch.
        rate: words per minute, 80 to 450.

    Raises:
        UsageError: a number is out of range, or the name is not a plain folder name.
    """

    name: str
    espeak: str
    pitch: int = 50
    rate: int = 165

    def __post_init__(self) -> None:
        if not self.name or self.name.startswith(".") or Path(self.name).name != self.name:
            raise UsageError(f"{self.name!r} cannot be the name of a speaker's folder")
        if not (0 <= self.pitch <= 99 and 80 <= self.rate <= 450):
            raise UsageError(f"{self.name}: pitch {self.pitch} or rate {self.rate} is out of range")


# Chosen for distant mean spectra: many variants of espeak-ng are almost the same.
VOICES = (
    Voice("amelia", "en-gb-x-rp+f2", 52, 162),
    Voice("bruno", "en-us+Storm", 48, 158),
    Voice("clara", "en-us+belinda", 50, 168),
    Voice("duncan", "en-gb-scotland+m3", 50, 165),
    Voice("edith", "en+grandma", 46, 150),
    Voice("felix", "en-us+Nguyen", 54, 172),
    Voice("greta", "en-us+steph", 48, 160),
    Voice("hector", "en-gb-x-gbclan+boris", 46, 158),
    Voice("iris", "en-us+Andrea", 50, 156),
    Voice("jonas", "en-us+travis", 50, 170),
    Voice("kelvin", "en-029+klatt4", 52, 160),
    Voice("lola", "en-us-nyc+shelby", 50, 166),
)

SENTENCES = (
    "Good morning, the kettle has just boiled, so come and sit down for a cup of tea.",
    "We walked along the river until the lights of the old mill came into sight.",
    "My sister keeps her seeds in old jam jars with the names written on the lids.",
    "The bus was late again this morning, so I read half of my book at the stop.",
    "Could you bring two loaves of bread and some butter on your way home tonight?",
    "There is a small shop around the corner where they mend shoes and cut keys.",
    "If the weather stays dry on Sunday, we will take the children to the beach.",
    "He forgot his umbrella on the train and came home wet from head to foot.",
    "Please leave the parcel with our neighbour, she is at home all afternoon.",
    "The cat sleeps on the warm side of the roof and only comes down for supper.",
    "I never learned to swim properly, but I still love to sit beside the water.",
    "Turn left after the church, then follow the narrow road up to the old farm.",
    "They painted the kitchen yellow last year, and now the whole room feels bigger.",
    "Somebody left a bicycle by the garden gate, and nobody knows whose it might be.",
)


def speak_corpus(
    folder: Path,
    *,
    voices: Sequence[Voice] = VOICES,
    sentences: Sequence[str] = SENTENCES,
    first: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write ``folder/<voice>/<nn>.wav`` for every voice and sentence, unless the file exists.

    Each clip is mono, 16-bit, 22,050 Hz and about four seconds long. Pitch, rate, loudness and a
    faint noise vary from sentence to sentence; their seed is the voice and the sentence. The bytes
    of a clip depend only on its voice, its sentence and the sentences before it in the list.

    Args:
        folder: created if it is missing.
        voices: the speakers.
        sentences: what each of them reads.
        first: number of the first sentence in the file names.
        progress: called with (clips done, all clips) after each voice.

    Returns:
        The number of clips written.

    Raises:
        MissingExtra: ``espeakng_loader`` is not installed.
        UsageError: espeak-ng has no such voice.
        VoxedgeError: espeak-ng does not run on this machine.
        OSError: the folder cannot be written.
    """
    if importlib.util.find_spec("espeakng_loader") is None:
        raise MissingExtra(
            "synthesising a corpus needs espeak-ng, which is not installed",
            install_command("demo"),
        )
    written = 0
    for position, voice in enumerate(voices, start=1):
        paths = [folder / voice.name / f"{first + i:02d}.wav" for i in range(len(sentences))]
        missing = {path for path in paths if not path.exists()}
        if missing:
            (folder / voice.name).mkdir(parents=True, exist_ok=True)
            for path, (samples, rate) in zip(paths, _speak(voice, sentences), strict=True):
                if path in missing:
                    with atomic_write(path) as file:
                        file.write(_wav(samples, rate))
            written += len(missing)
        if progress is not None:
            progress(position * len(sentences), len(voices) * len(sentences))
    return written


def _speak(voice: Voice, sentences: Sequence[str]) -> list[tuple[NDArray[np.float64], int]]:
    """Synthesise the sentences in a new process; (samples [S] in [-1, 1], rate in Hz) for each."""
    randoms = [_generator(voice, sentence) for sentence in sentences]
    script = [
        (sentence, voice.pitch + int(rng.integers(-4, 5)), voice.rate + int(rng.integers(-8, 9)))
        for sentence, rng in zip(sentences, randoms, strict=True)
    ]
    synthesiser = subprocess.run(
        [sys.executable, "-m", __name__, voice.espeak],
        input=json.dumps(script).encode(),
        capture_output=True,
        check=False,
        start_new_session=True,  # Ctrl-C goes to this process, which then ends the new one
    )
    if synthesiser.returncode == UsageError.exit_code:
        raise UsageError(f"espeak-ng has no voice {voice.espeak!r} (for {voice.name!r})")
    if synthesiser.returncode:
        lines = synthesiser.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else "no reason given"
        raise VoxedgeError(f"espeak-ng cannot speak as {voice.espeak!r}", reason)
    with np.load(io.BytesIO(synthesiser.stdout)) as archive:
        rate = int(archive["rate"])
        clips = [archive[f"arr_{i}"] for i in range(len(sentences))]
    return [(_vary(clip, rng), rate) for clip, rng in zip(clips, randoms, strict=True)]


def _generator(voice: Voice, sentence: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{voice.espeak}\n{sentence}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def _vary(clip: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.float64]:
    """Scale [S] to a peak of 0.3 to 0.7 of full scale and add noise of -66 to -56 dB of it."""
    speech = clip / max(1, int(np.abs(clip.astype(np.int32)).max()))
    noise = 10 ** (rng.uniform(-66, -56) / 20) * rng.standard_normal(len(clip))
    samples: NDArray[np.float64] = rng.uniform(0.3, 0.7) * speech + noise
    return samples


def _wav(samples: NDArray[np.float64], rate: int) -> bytes:
    """Encode samples [S] in [-1, 1] as 16-bit mono, not by soundfile: it would swallow a Ctrl-C."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, rate, len(samples), "NONE", ""))
        file.writeframes(np.round(32767 * samples).astype("<i2").tobytes())
    return buffer.getvalue()


# The code below runs in the new process:
# python -m voxedge.demo.speech VOICE < script.json > clips.npz

_SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: the callback gets the samples, no sound card, no threads
_DONT_EXIT = 0x8000  # report a failed start instead of ending the process
_UTF8 = 1
_RATE, _VOLUME, _PITCH = 1, 2, 3  # espeak_PARAMETER
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_int16), ctypes.c_int, ctypes.c_void_p
)


def _synthesise(voice: str, script: Sequence[tuple[str, int, int]]) -> tuple[int, list[bytes]]:
    """Return the rate in Hz and the int16 samples of each (sentence, pitch, words per minute)."""
    import espeakng_loader

    data = Path(espeakng_loader.get_data_path())
    variant = voice.partition("+")[2]
    if variant and not (data / "voices" / "!v" / variant).is_file():
        raise UsageError(f"no variant {variant!r}")  # espeak-ng would ignore the variant
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    os.chdir(data.parent)  # espeak-ng cuts paths off at 160 characters
    rate = int(library.espeak_Initialize(_SYNCHRONOUS, 0, b".", _DONT_EXIT))
    if rate <= 0:
        raise VoxedgeError(f"espeak-ng does not start with the data in {data}")
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise UsageError(f"no voice {voice!r}")
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # by default it is the time
    library.espeak_SetParameter(_VOLUME, 60, 0)  # at 100, many variants clip

    spoken = bytearray()

    def collect(samples: ctypes._Pointer[ctypes.c_int16], count: int, _events: int | None) -> int:
        if samples and count > 0:
            spoken.extend(ctypes.string_at(samples, 2 * count))
        return 0

    callback = _CALLBACK(collect)  # named, since the library keeps no reference to it
    library.espeak_SetSynthCallback(callback)
    clips = []
    for sentence, pitch, words_per_minute in script:
        library.espeak_SetParameter(_PITCH, pitch, 0)
        library.espeak_SetParameter(_RATE, words_per_minute, 0)
        text = sentence.encode() + b"\0"
        size = ctypes.c_size_t(len(text))
        if library.espeak_Synth(text, size, 0, 1, 0, _UTF8, None, None) != 0 or not spoken:
            raise VoxedgeError(f"espeak-ng gave no samples for {sentence!r}")
        clips.append(bytes(spoken))
        spoken.clear()
    return rate, clips


def _main() -> int:
    """Read the script as JSON from stdin and write the clips as .npz to stdout."""
    try:
        rate, clips = _synthesise(sys.argv[1], json.load(sys.stdin))
    except VoxedgeError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    archive = io.BytesIO()
    np.savez(archive, *(np.frombuffer(clip, np.int16) for clip in clips), rate=np.int64(rate))
    sys.stdout.buffer.write(archive.getvalue())
    return 0


if __name__ == "__main__":
    sys.exit(_main())
