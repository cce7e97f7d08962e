"""``voxedge train``: corpus -> split -> run folder -> loop -> figures, told as it goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from voxedge import artifact, console
from voxedge.data.corpus import Corpus, load_corpus
from voxedge.data.manifest import Manifest, read_manifest
from voxedge.data.split import Split, split
from voxedge.metrics import Interval
from voxedge.parallel import available_processors
from voxedge.train.device import choose_device, choose_precision
from voxedge.train.loop import train
from voxedge.train.recipe import Recipe
from voxedge.train.run import Run, find_run, new_run
from voxedge.train.weights import build_trunk, refuse_other_images

DEFAULT_DATA = Path("data")

_SHOWN = 10
_FROZEN = ((2_000, 0.0), (300, 0.2), (0, 1.0))  # training clips, share of the steps


def train_command(
    data: Path,
    recipe: Recipe | None,
    *,
    runs: Path,
    epochs: int | None,
    device: str,
    precision: str,
    workers: int | None,
    memory: int,
    strict: bool,
    moved: Path | None,
) -> None:
    """Train anew; or (without a recipe) go on with the run in ``data``, else with the latest.

    ``moved`` is where the corpus of a resumed run lies now.
    """
    torch.set_num_threads(available_processors())
    place = choose_device(device)
    bf16 = choose_precision(precision, place)
    threads = available_processors() if workers is None else workers
    run: Run | None = None
    if recipe is None:
        run = find_run(runs if data == DEFAULT_DATA else data)
        recipe = run.recipe()
        if epochs is not None:
            recipe = recipe.with_values({"training.epochs": epochs})
        console.say(f"going on with {run.folder}")
    else:
        build_trunk(recipe.model)  # what cannot be had is said at once
    manifest = run.manifest(moved) if run else read_manifest(data)
    corpus = corpus_of(manifest, recipe, threads, memory, strict)
    made = split_of(corpus, recipe)
    resume = run is not None
    if run is None:
        recipe = with_frozen_share(recipe, made)
        run = new_run(runs, recipe.name)
        run.describe(recipe, corpus, made)
    _announce(run, recipe, corpus, made, f"{place}, {'bf16' if bf16 else 'fp32'}")
    with console.TrainingProgress() as reporter:
        metrics = train(
            recipe,
            corpus,
            made,
            run,
            reporter,
            device=place,
            bf16=bf16,
            workers=threads,
            resume=resume,
        )
    _conclude(run, runs, metrics)


def corpus_of(
    manifest: Manifest, recipe: Recipe, threads: int, memory: int, strict: bool
) -> Corpus:
    """Decode what a recipe wants of a manifest, and name what is left out.

    Raises:
        CorpusError: too little is left, or ``strict`` and a clip that is unusable.
    """
    with console.Progress("decoding") as progress:
        corpus = load_corpus(
            manifest,
            recipe.frontend.sample_rate,
            min_clips=recipe.data.min_clips,
            speakers=recipe.data.speakers,
            memory=memory,
            workers=threads,
            strict=strict,
            progress=progress.update,
        )
    for problem in corpus.problems[:_SHOWN]:
        console.warn(f"{problem.clip.name}: left out: {problem.message}")
    for entry in corpus.entries:
        for warning in entry.warnings:
            console.warn(f"{entry.clip.name}: {warning}")
    if len(corpus.problems) > _SHOWN:
        console.warn(f"and {len(corpus.problems) - _SHOWN} more: voxedge data check lists them")
    return corpus


def split_of(corpus: Corpus, recipe: Recipe) -> Split:
    """The corpus, split as the recipe says."""
    data = recipe.data
    return split(corpus.entries, data.train_size, data.val_size, data.split_seed)


def with_frozen_share(recipe: Recipe, made: Split) -> Recipe:
    """The recipe with ``training.frozen`` decided, where it leaves that to the size of the data.

    A trunk of another run stays as it came for longer, the less there is to learn; that of a model
    file always, since its norms are folded and there is nothing to train through.

    Raises:
        UsageError: it stays to the end, and the recipe would show it other images than it knows.
    """
    if recipe.training.frozen < 0:
        recipe = recipe.with_values({"training.frozen": _frozen_share(recipe, made)})
    refuse_other_images(recipe)
    return recipe


def _frozen_share(recipe: Recipe, made: Split) -> float:
    if recipe.model.init in ("random", "imagenet"):
        return 0.0
    clips = sum(side == "train" for side in made.sides.values())
    share = next(share for fewest, share in _FROZEN if clips >= fewest)
    if recipe.model.init.endswith(artifact.SUFFIX):
        share = 1.0
    if share:
        when = f"learns after {share:.0%} of the steps" if share < 1 else "stays as it is"
        console.say(f"trunk of {recipe.model.init}: it {when}")
    return share


def _announce(run: Run, recipe: Recipe, corpus: Corpus, made: Split, place: str) -> None:
    counts = [len(made.of(corpus.entries, side)) for side in ("train", "validation", "test")]
    hours = sum(entry.seconds for entry in corpus.entries) / 3600
    console.say(
        f"{len(corpus.labels)} speakers, {len(corpus.entries)} clips, {hours:.2f} h;"
        f" {len(corpus.problems)} left out"
    )
    console.say(f"{made.describe()}: {counts[0]} train, {counts[1]} validation, {counts[2]} test")
    console.say(f"recipe {recipe.name} on {place}; run folder {run.folder}")


def _conclude(run: Run, runs: Path, metrics: dict[str, Any]) -> None:
    console.say(
        f"trained in {console.duration(metrics['seconds'])},"
        f" {metrics['clips_per_second']:.1f} clips/s; best epoch {metrics['best_epoch']}"
    )
    if test := metrics["test"]:
        top1, top5 = (Interval(**test[name]).percent() for name in ("top1", "top5"))
        console.answer(f"test: top-1 {top1}, top-5 {top5}  ({test['clips']} clips, 95 % intervals)")
    else:
        console.answer("no clips were held back to test on")
    where = "" if runs == Path("runs") else f" --run {run.folder}"
    console.say(f"next: voxedge export model.onnx{where}")
