"""Train the rivals on clips of a run or corpus, and evaluate them like a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from bench.accuracy import rivals
from bench.accuracy.rivals import Rival
from voxedge.cli.console import Progress, say, warn
from voxedge.data import sounds
from voxedge.data.clips import Clip
from voxedge.data.corpus import load_corpus
from voxedge.data.manifest import read_manifest
from voxedge.errors import CorpusError, MissingExtra
from voxedge.evaluation.answers import FILE, Subject, ask
from voxedge.evaluation.conditions import Condition, Environment
from voxedge.evaluation.measures import Measures, measure
from voxedge.threads import available_processors
from voxedge.train.prepare import split_for
from voxedge.train.recipe import Recipe
from voxedge.train.recipe_sections import DataRecipe
from voxedge.train.run import find_run

_SIDES = ("train", "validation", "test")


class Evaluated(NamedTuple):
    """A rival and its metrics."""

    rival: Rival
    metrics: Measures


def read_clips(run: Path | None, data: Path | None, seed: int) -> tuple[list[Clip], str]:
    """The clips with their sides, and what they are of.

    Args:
        run: a run, whose clips and split are taken.
        data: without a run the corpus, split as the default recipe does; with one where its corpus
            is, if it moved.
        seed: of the split, without a run.

    Raises:
        RunError: there is no such run.
        CorpusError: the corpus cannot be used.
    """
    if run is not None:
        found = find_run(run)
        return list(found.manifest(data).clips), found.folder.name
    assert data is not None
    with Progress("decoding") as progress:
        corpus = load_corpus(
            read_manifest(data),
            rivals.RATE,
            min_clips=3,
            workers=available_processors(),
            progress=progress.update,
        )
    split = split_for(Recipe(data=DataRecipe(split_seed=seed)), corpus)
    clips = [replace(entry.clip, split=split.sides[entry.clip.name]) for entry in corpus.entries]
    return clips, f"{data}, seed {seed}"


def load_environment(noise: Path, rooms: Path) -> Environment:
    """The half of the noises and rooms that training does not use; a missing folder gives none."""
    found: dict[str, Any] = {}
    for name, load, folder in (
        ("noises", sounds.load_noises, noise),
        ("rooms", sounds.load_rooms, rooms),
    ):
        try:
            found[name] = load(folder, rivals.RATE, "evaluation")
        except CorpusError as error:
            warn(str(error))
    return Environment(**found)


def evaluate_rivals(
    names: Sequence[rivals.Name],
    clips: Sequence[Clip],
    split: str,
    conditions: Sequence[Condition],
    environment: Environment,
    source: str,
    out: Path,
) -> dict[str, Evaluated]:
    """Train rivals and write an evaluation of each; one that is not installed is left out.

    Args:
        names: of the rivals.
        clips: of all sides.
        split: the side that is evaluated.
        conditions: to evaluate under, in addition to clean.
        environment: what the conditions need.
        source: what the clips are of, for the file.
        out: gets a folder for each rival.

    Raises:
        AudioError: a clip cannot be read.
        MissingExtra: no rival is installed.
    """
    labels = tuple(sorted({clip.speaker for clip in clips}))
    sides = {side: [clip for clip in clips if clip.split == side] for side in _SIDES}
    say(", ".join(f"{len(own)} {side}" for side, own in sides.items()) + " clips")
    evaluated: dict[str, Evaluated] = {}
    for name in names:
        try:
            with Progress(f"training {name}") as progress:
                rival = rivals.train(
                    name, labels, sides["train"], sides["validation"], progress.update
                )
        except MissingExtra as error:
            warn(f"{name} is left out: {error}")
            continue
        subject: Subject = {
            "data": source,
            "model": name,
            "kind": "rival",
            "split": split,
            "train_seconds": rival.seconds,
            "clips_per_second": rival.clips_per_second,
        }
        with Progress(f"evaluating {name}") as progress:
            evaluation = ask(
                rival,
                sides[split],
                conditions,
                environment,
                subject=subject,
                workers=available_processors(),
                progress=progress.update,
            )
        evaluated[name] = Evaluated(rival, measure(evaluation))
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        evaluation.write(folder / FILE, evaluated[name].metrics)
    if not evaluated:
        raise MissingExtra("no rival can be trained here")
    return evaluated
