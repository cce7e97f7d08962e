"""``python -m bench.replay MODEL``: who is named where a voice is played back, or cloned.

Nothing here tells a loudspeaker or a synthesiser from a person. How often the name is given all the
same is measured on one clip of each of ten speakers that a model file knows:

- the clip as it is, played in a room (a recorded impulse response), and encoded on top of that;
- sentences that the demonstration's synthesiser speaks, their long-term spectrum filtered to that
  of the clip: what the poorest cloning does that has one recording. Whoever holds the model file
  tries all its voices on it and plays the best one; without the file a voice is drawn.

Shapes: S samples of a clip, T of a sentence, F frequencies.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.lib.stride_tricks import sliding_window_view

from bench import cli
from voxedge.audio.limits import Samples
from voxedge.audio.load import load_audio
from voxedge.data.sounds import load_rooms
from voxedge.demo.speech import SENTENCES, speak_corpus
from voxedge.evaluation.conditions import CONDITIONS, Environment
from voxedge.inference.identifier import Identifier
from voxedge.inference.prediction import Prediction

_SHIPPED = Path(__file__).parent / "models" / "speechocean762-200.int8.onnx"
_SPEAKERS = 10
_POINTS = 512  # of the spectra that are matched
_LARGEST_GAIN = 30.0  # dB

app = cli.new_app()


@app.command()
def main(
    model: Annotated[Path, typer.Argument(help="Model file that names the speakers.")] = _SHIPPED,
    data: Annotated[Path, typer.Option(help="The folder of the corpora.")] = Path("../shared/data"),
) -> None:
    """Print how many of ten speakers are named, one JSON object for each attack."""
    identifier = Identifier(model)
    rate, every = identifier.sample_rate, len(identifier.labels)
    rooms = Environment(rooms=load_rooms(data / "rir", rate, "evaluation"))
    names = identifier.labels[:: every // _SPEAKERS][:_SPEAKERS]
    known = data / "speechocean762" / "known"
    clips = [load_audio(sorted((known / name).iterdir())[0], rate) for name in names]
    for attack in ((), ("room",), ("room", "opus12"), ("room", "mp332"), ("room", "telephone")):
        played = [degraded(clip, attack, rate, rooms) for clip in clips]
        answers = [identifier.identify(each, top_k=every) for each in played]
        _say(" ".join(attack) or "as recorded", names, answers)
    with tempfile.TemporaryDirectory() as folder:
        speak_corpus(Path(folder), sentences=SENTENCES[:1])
        spoken = [load_audio(path, rate) for path in sorted(Path(folder).rglob("*.wav"))]
    tries = [
        [identifier.identify(clone(each, clip), top_k=every) for each in spoken] for clip in clips
    ]
    for title, pick in (
        ("cloned, a voice drawn", lambda answers, _: answers[0]),
        ("cloned, the best of the voices", best_for),
    ):
        _say(title, names, [pick(each, name) for each, name in zip(tries, names, strict=True)])


def degraded(clip: Samples, attack: Sequence[str], rate: int, rooms: Environment) -> Samples:
    """A clip [S] after conditions, one after the other."""
    for name in attack:
        clip = CONDITIONS[name](clip, rate, rooms)
    return clip


def clone(spoken: Samples, target: Samples) -> Samples:
    """Filter a sentence [T] so that its long-term power spectrum is that of the target [S]."""
    gain = np.sqrt(power(target) / power(spoken))
    limit = 10 ** (_LARGEST_GAIN / 20)
    gain = np.clip(gain / np.exp(np.log(gain).mean()), 1 / limit, limit)
    taps = np.roll(np.fft.irfft(gain), _POINTS // 2) * np.hanning(_POINTS)
    filtered = np.convolve(spoken, taps, "same")
    level = np.sqrt((target**2).mean() / (filtered**2).mean())
    return np.clip(level * filtered, -1, 1).astype(np.float32)


def power(samples: Samples) -> np.ndarray:
    """The mean power spectrum [F] of samples [S] (Welch 1967)."""
    frames = sliding_window_view(samples, _POINTS)[:: _POINTS // 2] * np.hanning(_POINTS)
    return (np.abs(np.fft.rfft(frames)) ** 2).mean(axis=0) + 1e-12


def best_for(answers: Sequence[Prediction], name: str) -> Prediction:
    """The answer that gives a speaker the largest probability."""
    return max(answers, key=lambda answer: dict(answer.predictions).get(name, 0.0))


def _say(attack: str, names: Sequence[str], answers: Sequence[Prediction]) -> None:
    pairs = list(zip(answers, names, strict=True))
    right = [answer.speaker == name for answer, name in pairs]
    sure = [dict(answer.predictions)[name] if answer.predictions else 0.0 for answer, name in pairs]
    record = {
        "attack": attack,
        "speakers": len(names),
        "taken_for_the_speaker": sum(right),
        "any_name": sum(answer.speaker is not None for answer in answers),
        "median_probability_of_the_speaker": round(float(np.median(sure)), 3),
    }
    typer.echo(json.dumps(record))


if __name__ == "__main__":
    app()
