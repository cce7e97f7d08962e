"""``python -m bench.gallery MODEL ...``: naming enrolled people, thresholds and how well they hold.

Thresholds are chosen on half of the speakers and judged on the other half. Shapes: C clips, E
embedding, K speakers.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from bench import cli
from voxedge.audio.activity import Activity
from voxedge.audio.load import load_audio
from voxedge.gallery.calibration import Calibration, measure
from voxedge.gallery.changes import CLOSE
from voxedge.gallery.enrolment import odd_clips
from voxedge.gallery.people import Floats
from voxedge.inference.identifier import Identifier
from voxedge.metrics import equal_error_rate

_SPEECHOCEAN, _SPEECHOCEAN_CLIPS = "speechocean762/unseen", 12
_VOICES = ("commonvoice_fa", "smc_msc_other", "commonvoice13_en", "commonvoice_tw")
_VOICES += ("commonvoice_vi", "commonvoice_es")
_ACCOUNTS, _LEAST_CLIPS, _MOST_CLIPS = 60, 5, 8
_LEAST_HELD_OUT = 4  # clips of an account that a distillation held out: most of them have so many
_REPEATS = 40  # random choices of who is enrolled
_ACCEPT = 0.05

app = cli.new_app()


@dataclass(frozen=True)
class Speaker:
    """A speaker's clips, embedded whole, and their first second of sound."""

    corpus: str
    name: str
    whole: Floats  # [C, E]
    second: Floats  # [C, E]

    @property
    def half(self) -> int:
        """0: chosen on; 1: judged on."""
        return _hash(self.name) % 2


@app.command()
def main(
    models: Annotated[list[Path], typer.Argument(help="Model files with embeddings.")],
    data: Annotated[Path, typer.Option(help="The folder of the corpora.")] = Path("../shared/data"),
    distilled: Annotated[
        Path | None,
        typer.Option(help="Folder of a distillation: accounts are of those that it held out."),
    ] = None,
) -> None:
    """Measure naming, thresholds, coherence and closeness of model files, and of unfit clips."""
    for model in models:
        print(model.name)
        identifier = Identifier(model)
        speakers = list(embed(identifier, data, distilled))
        chosen, judged = ([each for each in speakers if each.half == half] for half in (0, 1))
        print(json.dumps({"calibration": asdict(table := calibration_of(chosen))}))
        print(json.dumps({"on the other half": asdict(calibration_of(judged))}))
        for corpus in ("speechocean762", "voices"):
            print(corpus)
            naming([each for each in speakers if each.corpus == corpus])
            mine = [each for each in judged if each.corpus == corpus]
            open_set(mine, table)
            coherence(mine, table)
            closeness(mine, table)
        limits(identifier, [each for each in speakers if each.corpus == "speechocean762"], data)


def embed(identifier: Identifier, data: Path, distilled: Path | None) -> Iterator[Speaker]:
    """The speakers that are measured: all of speechocean762's unseen ones, and accounts by hash."""
    folders = [
        (path, "speechocean762", _SPEECHOCEAN_CLIPS)
        for path in sorted((data / _SPEECHOCEAN).iterdir())
    ]
    accounts = list(accounts_of(data / "voices", distilled))
    accounts.sort(key=lambda path: hashlib.sha256(path.name.encode()).hexdigest())
    folders += [(path, "voices", _MOST_CLIPS) for path in accounts[:_ACCOUNTS]]
    for folder, corpus, most in folders:
        rate = identifier.sample_rate
        clips = [load_audio(path, rate) for path in sorted(folder.iterdir())[:most]]
        starts = [(Activity.of(clip, rate).span() or (0, 0))[0] for clip in clips]
        seconds = [clip[start : start + rate] for clip, start in zip(clips, starts, strict=True)]
        found = [
            [scores.embedding for scores in identifier.score(enumerate(part))]
            for part in (clips, seconds)
        ]
        yield Speaker(corpus, folder.name, *(np.stack(rows) for rows in found))


def accounts_of(voices: Path, distilled: Path | None) -> Iterator[Path]:
    """The folders of accounts with enough clips."""
    if distilled is None:
        for corpus in _VOICES:
            for path in (voices / corpus).iterdir():
                if path.name != "unlabelled" and len(list(path.iterdir())) >= _LEAST_CLIPS:
                    yield path
        return
    about = json.loads((distilled / "distill.json").read_text())
    for corpus, speaker in about["held_out"]:
        path = voices / corpus / speaker
        if path.is_dir() and len(list(path.iterdir())) >= _LEAST_HELD_OUT:
            yield path


def calibration_of(speakers: Sequence[Speaker]) -> Calibration:
    """The table of strangers, who are of the same corpus."""
    names = [each.name for each in speakers for _ in each.whole]
    corpus = "speechocean762, Common Voice and SMC"
    rows = np.concatenate([each.whole for each in speakers])
    return measure(rows, names, corpus, {each.name: each.corpus for each in speakers})


def naming(speakers: Sequence[Speaker]) -> None:
    """Who is named of all, from one, three and five clips, by their mean or the nearest clip."""
    for shots in (1, 3, 5):
        some = [each for each in speakers if len(each.whole) > shots]
        means = np.stack([mean_of(each.whole[:shots]) for each in some])
        clips = np.stack([each.whole[:shots] for each in some])
        truth = np.repeat(np.arange(len(some)), [len(each.whole) - shots for each in some])
        words = []
        for part in ("whole", "second"):
            tests = np.concatenate([getattr(each, part)[shots:] for each in some])
            cosines = tests @ means.T
            nearest = np.einsum("qe,pne->qpn", tests, clips).max(axis=2)
            own = truth[:, None] == np.arange(len(some))
            eer = equal_error_rate(cosines.ravel(), own.ravel())
            hits = [float((score.argmax(axis=1) == truth).mean()) for score in (cosines, nearest)]
            words.append(f"{part}: mean {hits[0]:.1%} nearest clip {hits[1]:.1%} EER {eer:.2%}")
        print(f"  {shots} clips, {len(some)} people, {len(truth)} tests; " + "; ".join(words))


def open_set(speakers: Sequence[Speaker], table: Calibration) -> None:
    """Strangers who get a name, and people who get theirs, at the default threshold."""
    random = np.random.default_rng(0)
    for people in (1, 5, 10, 20):
        if people > len(speakers) - 4:
            continue
        line = table.cosine(max(_ACCEPT / people, table.least))
        for shots in (1, 3):
            rates = defaultdict(list)
            for _ in range(_REPEATS):
                order = [speakers[row] for row in random.permutation(len(speakers))]
                means = np.stack([mean_of(each.whole[:shots]) for each in order[:people]])
                for part in ("whole", "second"):
                    for row, each in enumerate(order):
                        cosines = getattr(each, part)[shots if row < people else 0 :] @ means.T
                        named = cosines.max(axis=1) >= line
                        right = named & (cosines.argmax(axis=1) == row)
                        rates[part, row < people] += (right if row < people else named).tolist()
            said = "; ".join(
                f"{part}: strangers named {np.mean(rates[part, False]):.1%}, people"
                f" {np.mean(rates[part, True]):.1%}"
                for part in ("whole", "second")
            )
            print(f"  {people} enrolled with {shots} clips, threshold {line:.3f}; {said}")


def coherence(speakers: Sequence[Speaker], table: Calibration) -> None:
    """Enrolments that are refused, of one person, and with one clip of another."""
    random, line = np.random.default_rng(0), table.cosine(_ACCEPT)
    for count in (2, 3, 5):
        refused, found, named = [], [], []
        for each in speakers:
            if len(each.whole) < count:
                continue
            for _ in range(10):
                clips = each.whole[random.permutation(len(each.whole))[:count]]
                refused.append(bool(odd_clips(clips, line)))
                other = speakers[random.integers(len(speakers))]
                while other is each:
                    other = speakers[random.integers(len(speakers))]
                mixed = np.vstack([clips[:-1], random.choice(other.whole)])
                odd = odd_clips(mixed, line)
                found.append(bool(odd))
                named.append(odd == [count - 1])
        print(
            f"  {count} clips: of one person refused {np.mean(refused):.1%}; one of another person"
            f" found {np.mean(found):.1%}, that clip alone named {np.mean(named):.1%}"
        )


def closeness(speakers: Sequence[Speaker], table: Calibration) -> None:
    """People taken for one: the same person enrolled twice, and two people."""
    line = table.cosine(CLOSE)
    for shots in (1, 2, 3):
        pairs = [
            (mean_of(each.whole[:shots]), mean_of(each.whole[shots : 2 * shots]))
            for each in speakers
            if len(each.whole) >= 2 * shots
        ]
        cosines = np.array([[one @ other for _, other in pairs] for one, _ in pairs])
        same = np.eye(len(pairs), dtype=bool)
        print(
            f"  {shots} clips each: the same person found {(cosines[same] >= line).mean():.1%}, two"
            f" people refused {(cosines[~same] >= line).mean():.2%}"
        )


def limits(identifier: Identifier, speakers: Sequence[Speaker], data: Path) -> None:
    """The cosine of quiet, clipped and short clips with their person's three others."""
    rate = identifier.sample_rate
    means = np.stack([mean_of(each.whole[:3]) for each in speakers])
    clips = [
        load_audio(sorted((data / _SPEECHOCEAN / each.name).iterdir())[6], rate)[: 3 * rate]
        for each in speakers
    ]

    def show(name: str, change: Callable[[Floats], Floats]) -> None:
        rows = [scores.embedding for scores in identifier.score(enumerate(map(change, clips)))]
        cosines = np.array([row @ means.T for row in rows])
        own = np.diag(cosines)
        hits = (cosines.argmax(axis=1) == np.arange(len(own))).mean()
        print(f"  {name}: own {own.mean():.3f}, smallest {own.min():.3f}, named {hits:.1%}")

    show("as recorded", lambda clip: clip)
    for level in (-40, -50, -60, -65, -70, -75):
        show(f"speech at {level} dBFS, 16 bits", lambda clip, at=level: at_level(clip, rate, at))
    for share in (0.01, 0.03, 0.1, 0.2):
        show(f"{share:.0%} clipped", lambda clip, part=share: clipped(clip, rate, part))
    for seconds in (0.3, 0.5, 0.75, 1.0, 1.5, 2.0):
        show(f"{seconds} s of speech", lambda clip, upto=seconds: shortened(clip, rate, upto))


def at_level(clip: Floats, rate: int, level: float) -> Floats:
    """Speech at so many dBFS, rounded to 16 bits."""
    scaled = clip * 10 ** (level / 20) / np.sqrt(np.mean(np.square(speech(clip, rate))))
    return (np.round(scaled * 32768) / 32768).astype(np.float32)


def clipped(clip: Floats, rate: int, share: float) -> Floats:
    """Amplified until so much of the speech is clipped."""
    return np.clip(clip / np.quantile(np.abs(speech(clip, rate)), 1 - share), -1, 1)


def shortened(clip: Floats, rate: int, seconds: float) -> Floats:
    """The beginning of the speech, up to so many seconds of active frames."""
    activity = Activity.of(clip, rate)
    last = min(int(np.searchsorted(activity.before, round(seconds * 50))), len(activity.before) - 1)
    return clip[(activity.span() or (0, 0))[0] : last * activity.frame]


def speech(clip: Floats, rate: int) -> Floats:
    """The active frames."""
    activity = Activity.of(clip, rate)
    active = np.diff(activity.before) > 0
    return clip[: len(active) * activity.frame].reshape(len(active), -1)[active]


def mean_of(rows: Floats) -> Floats:
    """The mean direction of [C, E]."""
    mean = rows.mean(axis=0)
    return mean / np.linalg.norm(mean)


def _hash(name: str) -> int:
    return int(hashlib.sha256(name.encode()).hexdigest(), 16)


if __name__ == "__main__":
    sys.exit(cli.run(app, "python -m bench.gallery", None))
