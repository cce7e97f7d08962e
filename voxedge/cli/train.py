"""``voxedge train``: corpus -> split -> run folder -> loop -> measured accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from voxedge import base
from voxedge.cli import console, options
from voxedge.cli.recipe_flags import PANELS, with_recipe_flags
from voxedge.errors import UsageError
from voxedge.install import needs_extra
from voxedge.metrics import Interval
from voxedge.model_file.metadata import SUFFIX
from voxedge.threads import available_processors, idle_processors
from voxedge.train.recipe import Recipe, load, parse_settings

if TYPE_CHECKING:
    from voxedge.data.clips import Manifest
    from voxedge.data.corpus import Corpus
    from voxedge.data.split import Split
    from voxedge.train.device import Compute
    from voxedge.train.process_group import ProcessGroup
    from voxedge.train.run import Job, Metrics, Run

_SHOWN = 10  # problems of a corpus
_ONLY_EPOCHS = "--resume goes on with the run's own recipe; only --epochs may change"

app = options.command_app()


@app.command(epilog="Every other recipe value is reached by --set; docs/train.md lists them.")
@with_recipe_flags
def train(
    data: options.CorpusOrShards = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="A recipe that ships, or a TOML file of what differs from the default.",
            show_default="default",
        ),
    ] = None,
    settings: options.Settings = None,
    loss: Annotated[
        Literal["cross-entropy", "center"] | None,
        typer.Option(
            help="Cross-entropy alone, or with the contrastive-center loss.",
            rich_help_panel=PANELS["loss"],
        ),
    ] = None,
    runs: Annotated[Path, typer.Option(help="Where run folders go.")] = options.DEFAULT_RUNS,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run (DATA: its folder; else the latest).")
    ] = False,
    moved: Annotated[
        Path | None, typer.Option("--data", help="With --resume: the corpus, if it moved.")
    ] = None,
    device: options.TrainingDevice = "auto",
    devices: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes that train together, each on a device of its own.",
            show_default="1; as many as torchrun starts",
            rich_help_panel="Run",
        ),
    ] = None,
    precision: options.TrainingPrecision = "auto",
    threads: options.TrainingThreads = None,
    workers: options.DecodingWorkers = None,
    memory: options.Memory = 2048,
    strict: options.Strict = False,
    *,
    changes: dict[str, Any],
) -> None:
    """Train on folders of clips: DATA/SPEAKER/CLIP, or on a corpus of another kind.

    Clips are split into training, validation and test sides. Ctrl-C saves; voxedge train --resume
    goes on. Unusable clips are named and left out. Defaults are those of the default recipe.
    """
    chosen = None if resume else load(recipe or _recipe_for(changes))
    form = _center_form(loss, changes.pop("loss.center", None), chosen)
    changes |= ({} if form is None else {"loss.center": form}) | parse_settings(settings or [])
    if resume and (recipe or set(changes) - {"training.epochs"}):
        raise UsageError(_ONLY_EPOCHS)
    if moved and not resume:
        raise UsageError("--data goes with --resume", "voxedge train DATA")
    if chosen is not None:
        chosen = chosen.with_values(changes)
        chosen.refuse_idle(changes)
    with needs_extra("train"):
        import torch

        from voxedge.train.device import Compute, choose_device, choose_precision
        from voxedge.train.launch import choose_kind, joined, processes_of
        from voxedge.train.loop import train as run_training
        from voxedge.train.process_group import refuse_uneven

    console.show_library_warnings()
    processes = processes_of(devices)
    kind = choose_device(device) if processes == 1 else choose_kind(device, processes)
    bf16 = choose_precision(precision, kind)
    corpus = options.one_corpus(data)
    if chosen is not None:
        refuse_uneven(chosen, processes)
    with joined(processes, kind) as (group, place):
        if not group.first:
            console.tell_only_errors()
        if workers is None:
            workers = max(1, available_processors() // group.local_size)
        decoding = Decoding(workers, memory // group.local_size, strict)
        if chosen is None:
            job = _resumed(corpus if data else runs, changes, moved, decoding, group)
        else:
            job = _begun(corpus, chosen, runs, decoding, group)
        torch.set_num_threads(_threads(threads, job, resume, group))
        _announce(job, _where(Compute(place, bf16, workers, group), torch.get_num_threads()))
        with console.TrainingProgress() as reporter:
            metrics = run_training(
                *job,
                reporter,
                device=place,
                bf16=bf16,
                workers=workers,
                resume=resume,
                group=group,
            )
        _conclude(job.run, runs, metrics)


class Decoding(NamedTuple):
    """How a corpus is decoded."""

    workers: int  # threads
    memory: int  # MiB to hold
    strict: bool  # stop at the first unusable clip


def _begun(data: Path, recipe: Recipe, runs: Path, decoding: Decoding, group: ProcessGroup) -> Job:
    """A new run."""
    from voxedge.data.manifest import read_manifest
    from voxedge.train.prepare import split_for, with_trunk
    from voxedge.train.run import Job, new_run

    with group.agreed():
        recipe = with_trunk(recipe)
        corpus = decoded(recipe, read_manifest(data), decoding)
        split = split_for(recipe, corpus)
        recipe = with_frozen_share(recipe, split)

    def described() -> Run:
        run = new_run(runs, recipe.name)
        run.describe(recipe, corpus, split)
        return run

    return Job(recipe, corpus, split, group.on_first(described))


def _resumed(
    folder: Path,
    changes: dict[str, Any],
    moved: Path | None,
    decoding: Decoding,
    group: ProcessGroup,
) -> Job:
    """A run that was begun earlier."""
    from voxedge.train.prepare import split_for
    from voxedge.train.process_group import refuse_uneven
    from voxedge.train.run import Job, find_run

    with group.agreed():
        run = find_run(folder)
        recipe = run.recipe().with_values(changes)
        refuse_uneven(recipe, group.size)
        console.say(f"going on with {run.folder}")
        corpus = decoded(recipe, run.manifest(moved), decoding)
        return Job(recipe, corpus, split_for(recipe, corpus), run)


def _threads(asked: int | None, job: Job, resume: bool, group: ProcessGroup) -> int:
    """Threads of each process that compute."""

    def found() -> int:
        kept = job.run.threads() if resume else 0
        return kept or max(1, idle_processors() // group.local_size)

    return asked or group.on_first(found)


def decoded(recipe: Recipe, manifest: Manifest, decoding: Decoding) -> Corpus:
    """The corpus that a recipe wants of a manifest; what is left out is named.

    Raises:
        CorpusError: too little is left, or ``strict`` and a clip that is unusable.
    """
    from voxedge.train.prepare import load_for

    with console.Progress("decoding") as progress:
        corpus = load_for(
            recipe,
            manifest,
            memory=decoding.memory << 20,
            workers=decoding.workers,
            strict=decoding.strict,
            progress=progress.update,
        )
    left_out = corpus.left_out
    for speaker, why in left_out.items():
        console.warn(f"{speaker}: no usable clip, so the model will not know this speaker: {why}")
    problems = [problem for problem in corpus.problems if problem.clip.speaker not in left_out]
    for problem in problems[:_SHOWN]:
        console.warn(f"{problem.clip.name}: left out: {problem.message}")
    for name, warning in manifest.warnings:
        console.warn(f"{name}: {warning}")
    for entry in corpus.entries:
        for warning in entry.warnings:
            console.warn(f"{entry.clip.name}: {warning}")
    if len(problems) > _SHOWN:
        console.warn(f"and {len(problems) - _SHOWN} more: voxedge data check lists them")
    return corpus


def with_frozen_share(recipe: Recipe, split: Split) -> Recipe:
    """``train.prepare.with_frozen_share``, and a line where it decides that the trunk is frozen."""
    from voxedge.train import prepare

    settled = prepare.with_frozen_share(recipe, split)
    share = settled.training.frozen
    if recipe.training.frozen < 0 < share:
        when = f"for the first {share:.0%} of the steps" if share < 1 else "throughout"
        console.say(f"trunk of {recipe.model.init}: frozen {when}")
    return settled


def _recipe_for(changes: Mapping[str, Any]) -> str:
    """The recipe where none is named: a model file as the trunk and the base network have one."""
    if changes.get("model.trunk", "").endswith(SUFFIX):
        return "pretrained"
    return base.NAME if changes.get("model.init") == base.NAME else "default"


def _center_form(loss: str | None, form: str | None, recipe: Recipe | None) -> str | None:
    """``loss.center`` of ``--loss`` and ``--center-form``; None where neither says anything."""
    if loss == "cross-entropy":
        if form not in (None, "none"):
            raise UsageError("--center-form needs --loss center")
        return "none"
    if form or loss is None or recipe is None:
        return form
    return "paper" if recipe.loss.center == "none" else recipe.loss.center


def _where(compute: Compute, threads: int) -> str:
    """Where and how a training computes, for people."""
    on_cpu = compute.device.type == "cpu"
    count = f" with {threads} thread{'s' * (threads != 1)}" if on_cpu else ""
    return f"{compute.where}{count}, {compute.precision}"


def _announce(job: Job, place: str) -> None:
    recipe, corpus, split, run = job
    counts = [len(split.of(corpus.entries, side)) for side in ("train", "validation", "test")]
    hours = sum(entry.seconds for entry in corpus.entries) / 3600
    console.say(
        f"{len(corpus.labels)} speakers, {len(corpus.entries)} clips, {hours:.2f} h;"
        f" {len(corpus.problems)} left out"
    )
    console.say(f"{split.describe()}: {counts[0]} train, {counts[1]} validation, {counts[2]} test")
    console.say(f"recipe {recipe.name} on {place}; run folder {run.folder}")


def _conclude(run: Run, runs: Path, metrics: Metrics) -> None:
    console.say(
        f"trained in {console.duration(metrics['seconds'])},"
        f" {metrics['clips_per_second']:.1f} clips/s; best epoch {metrics['best_epoch']}"
    )
    if test := metrics["test"]:
        top1, top5 = (Interval(**test[name]).percent() for name in ("top1", "top5"))
        console.answer(f"test: top-1 {top1}, top-5 {top5}  ({test['clips']} clips, 95 % intervals)")
    else:
        console.answer("no clips were held back to test on")
    where = "" if runs == options.DEFAULT_RUNS else f" --run {run.folder}"
    console.say(f"next: voxedge export model.onnx{where}")
