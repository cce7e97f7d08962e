"""``voxedge distill``: a network that learns a teacher's embeddings from degraded crops."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voxedge import base
from voxedge.cli import console, options
from voxedge.errors import UsageError
from voxedge.install import needs_extra
from voxedge.threads import available_processors, idle_processors
from voxedge.train.recipe import load, parse_settings

if TYPE_CHECKING:
    from voxedge.data.corpus import Corpus
    from voxedge.train.distill.loop import CheckRow
    from voxedge.train.progress import StepProgress

_TEACHING = "Teaching"
_RECIPE = "distill"
_DEFAULT_OUT = Path("runs/distilled")

app = options.command_app()


@app.command()
def distill(
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA...",
            help="Corpora: DATA/SPEAKER/**/CLIP; the speakers of clips in a folder called"
            " unlabelled are not known.",
        ),
    ],
    teacher: Annotated[
        Path, typer.Option(help="A model file of embeddings: voxedge fold makes one.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the results; one that was begun is continued.")
    ] = _DEFAULT_OUT,
    recipe: Annotated[
        str, typer.Option(help="Front end, network, optimiser and augmentation.")
    ] = _RECIPE,
    settings: options.Settings = None,
    steps: Annotated[
        int, typer.Option(min=1, help="Batches in all.", rich_help_panel=_TEACHING)
    ] = 20_000,
    variations: Annotated[
        int,
        typer.Option(
            min=1,
            help="Times that the teacher is asked about every clip: as recorded, then each time as"
            " another voice.",
            rich_help_panel=_TEACHING,
        ),
    ] = 4,
    held_out: Annotated[
        int,
        typer.Option(
            min=0,
            help="Speakers to check by, who are not trained on.",
            rich_help_panel=_TEACHING,
        ),
    ] = 300,
    by_clip: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DATA",
            help="A further corpus, of which nobody is held out; the clips are trained on that"
            " voxedge train would train on. May be repeated.",
            rich_help_panel=_TEACHING,
        ),
    ] = None,
    similarity_weight: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Of the loss on similarities to other clips, beside the cosine distance.",
            rich_help_panel=_TEACHING,
        ),
    ] = 0.5,
    targets: Annotated[
        Path | None,
        typer.Option(
            help="Folder of what the teacher said, which several students can share.",
            show_default="OUT/targets",
            rich_help_panel=_TEACHING,
        ),
    ] = None,
    device: options.TrainingDevice = "auto",
    precision: options.TrainingPrecision = "auto",
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Threads that compute, on a CPU.",
            show_default="processors that are idle; of a folder that was begun, its own",
            rich_help_panel="Run",
        ),
    ] = None,
    workers: options.DecodingWorkers = None,
    memory: options.Memory = 4096,
) -> None:
    """Teach a network the embeddings of a larger one, from clips without labels.

    It learns to give for a degraded crop what the teacher gives for the clean clip. The teacher's
    embeddings are computed once and kept in the folder of the results. Ctrl-C saves; the same
    command goes on. voxedge train --init OUT/student.safetensors starts from the result.
    """
    further = by_clip or []
    for folder in (*data, *further):
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder")
    changes = parse_settings(settings or [])
    chosen = load(recipe).with_values(changes)
    chosen.refuse_idle(changes)
    with needs_extra("train"):
        import torch

        from voxedge.inference.identifier import Identifier
        from voxedge.train.device import Compute, choose_device, choose_precision
        from voxedge.train.distill.lesson import Lesson, check_teacher, corpus_name
        from voxedge.train.distill.loop import STUDENT, threads_of
        from voxedge.train.distill.loop import distill as teach
        from voxedge.train.distill.settings import Distillation
        from voxedge.train.distill.targets import Teacher

    numbers = Distillation(
        steps=steps,
        variations=variations,
        held_out=held_out,
        similarity_weight=similarity_weight,
    )
    console.show_library_warnings()
    place = choose_device(device)
    workers = available_processors() if workers is None else workers
    compute = Compute(place, choose_precision(precision, place), workers)
    torch.set_num_threads(threads or threads_of(out) or idle_processors())
    asked = Identifier(teacher, device="auto" if place.type == "cuda" else "cpu")
    about = asked.metadata
    large = Teacher(asked, about.digest, about.sample_rate, about.embedding_dim)
    check_teacher(chosen, large)
    corpora = _decoded([*data, *further], chosen.frontend.sample_rate, workers, memory << 20)
    never = tuple(corpus_name(corpus) for corpus in corpora[len(data) :])
    with _Progress() as reporter:
        history = teach(
            Lesson(chosen, numbers, corpora, large, out, never, targets), compute, reporter
        )
    eer, teachers = history[-1]["eer"], history[-1]["teacher_eer"]
    if eer is not None and teachers is not None:
        console.answer(
            f"EER on speakers that were held out: {100 * eer:.1f} %;"
            f" the teacher's {100 * teachers:.1f} %"
        )
    # The recipe that trains from such a network; a recipe of one's own may do both.
    trains = base.NAME if recipe == _RECIPE else recipe
    words = ["--recipe", trains, "--init", str(out / STUDENT)]
    words += [word for each in settings or [] for word in ("--set", each)]
    console.say(f"next: voxedge train {shlex.join(words)}")


def _decoded(folders: list[Path], rate: int, workers: int, memory: int) -> list[Corpus]:
    """Corpora without their unusable clips, which are counted.

    Args:
        folders: of the corpora.
        rate: Hz.
        workers: threads that decode.
        memory: bytes of samples to hold, of all corpora together.
    """
    from voxedge.data.corpus import load_corpus
    from voxedge.data.manifest import read_manifest

    corpora: list[Corpus] = []
    for folder in folders:
        with console.Progress(f"decoding {folder.name}") as progress:
            corpus = load_corpus(
                read_manifest(folder),
                rate,
                min_speakers=1,
                memory=max(0, memory),
                workers=workers,
                progress=progress.update,
            )
        memory -= sum(entry.held.nbytes for entry in corpus.entries if entry.held is not None)
        hours = sum(entry.seconds for entry in corpus.entries) / 3600
        console.say(
            f"{folder}: {len(corpus.entries)} clips, {hours:.2f} h; {len(corpus.problems)} left out"
        )
        corpora.append(corpus)
    return corpora


class _Progress(console.TrainingProgress):
    """A bar for the teacher's work and for the steps, a line for each check."""

    def __enter__(self) -> _Progress:
        super().__enter__()
        return self

    def variation(self, number: int, variations: int, done: int, clips: int) -> None:
        self._progress.update(done, clips, f"teacher, {number} of {variations}")

    def step(self, progress: StepProgress) -> None:
        left = console.duration(progress.seconds_left)
        self._last = f"{progress.clips_per_second:5.1f} crops/s, {left} left"
        text = f"loss {progress.loss:.3f}  {self._last}"
        self._progress.update(progress.step, progress.steps, text)

    def check(self, row: CheckRow) -> None:
        eer = "" if row["eer"] is None else f"  held-out EER {100 * row['eer']:.1f} %"
        console.say(
            f"step {row['step']}  loss {row['loss']:.3f} (cosine {row['cosine']:.3f},"
            f" similarities {row['similarity']:.3f}){eer}  {self._last}"
        )
