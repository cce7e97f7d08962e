"""``voxedge distill``: a network that learns a teacher's embeddings from degraded crops."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voxedge.cli import console, options
from voxedge.errors import UsageError
from voxedge.install import needs_extra
from voxedge.threads import available_processors, idle_processors
from voxedge.train.recipe import load, parse_settings

if TYPE_CHECKING:
    from voxedge.data.corpus import Corpus
    from voxedge.train.distill.loop import CheckRow
    from voxedge.train.progress import StepProgress
    from voxedge.train.recipe import Recipe

_TEACHING = "Teaching"
_DEFAULT_OUT = Path("runs/distilled")

app = options.command_app()


@app.command()
def distill(
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA...",
            help="Corpora: DATA/SPEAKER/**/CLIP; clips of a SPEAKER called unlabelled are of nobody"
            " in particular.",
        ),
    ],
    teacher: Annotated[
        Path, typer.Option(help="A model file of embeddings: voxedge fold makes one.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the results; one that was begun is gone on with.")
    ] = _DEFAULT_OUT,
    recipe: Annotated[
        str, typer.Option(help="Front end, network, optimiser and augmentation.")
    ] = "base",
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
    similarity_weight: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Of the loss on similarities to other clips, beside the cosine distance.",
            rich_help_panel=_TEACHING,
        ),
    ] = 0.5,
    device: options.TrainingDevice = "auto",
    precision: options.TrainingPrecision = "auto",
    threads: options.TrainingThreads = None,
    workers: options.DecodingWorkers = None,
    memory: options.Memory = 4096,
) -> None:
    """Teach a network the embeddings of a larger one, from clips without labels.

    It learns to give for a degraded crop what the teacher gives for the clean clip. The teacher's
    embeddings are computed once and kept in the folder of the results. Ctrl-C saves; the same
    command goes on. voxedge train --init OUT/student.safetensors starts from the result.
    """
    chosen = load(recipe).with_values(parse_settings(settings or []))
    with needs_extra("train"):
        import torch

        from voxedge.inference.identifier import Identifier
        from voxedge.train.device import Compute, choose_device, choose_precision
        from voxedge.train.distill.loop import STUDENT, Lesson
        from voxedge.train.distill.loop import distill as teach
        from voxedge.train.distill.settings import Distillation

    numbers = Distillation(
        steps=steps,
        variations=variations,
        held_out=held_out,
        similarity_weight=similarity_weight,
    )
    console.show_library_warnings()
    place = choose_device(device)
    compute = Compute(
        place,
        choose_precision(precision, place),
        available_processors() if workers is None else workers,
    )
    torch.set_num_threads(threads or idle_processors())
    asked = Identifier(teacher, device="auto" if place.type == "cuda" else "cpu")
    corpora = [_decoded(folder, chosen, compute.workers, memory) for folder in data]
    lesson = Lesson(chosen, numbers, corpora, asked, asked.metadata.digest, out)
    with _Progress() as reporter:
        history = teach(lesson, compute, reporter)
    if history and held_out:
        last = history[-1]
        console.answer(
            f"EER on speakers that were held out: {100 * last['eer']:.1f} %;"
            f" the teacher's {100 * last['teacher_eer']:.1f} %"
        )
    console.say(f"next: voxedge train --recipe {recipe} --init {out / STUDENT}")


def _decoded(folder: Path, recipe: Recipe, workers: int, memory: int) -> Corpus:
    """A corpus without its unusable clips, which are counted."""
    from voxedge.data.corpus import load_corpus
    from voxedge.data.manifest import read_manifest

    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder")
    manifest = read_manifest(folder)
    with console.Progress(f"decoding {folder.name}") as progress:
        corpus = load_corpus(
            manifest,
            recipe.frontend.sample_rate,
            min_speakers=1,
            memory=memory << 20,
            workers=workers,
            progress=progress.update,
        )
    hours = sum(entry.seconds for entry in corpus.entries) / 3600
    console.say(
        f"{folder}: {len(corpus.entries)} clips, {hours:.2f} h; {len(corpus.problems)} left out"
    )
    return corpus


class _Progress(console.TrainingProgress):
    """A bar for the teacher's work and for the steps, a line for each check."""

    def variation(self, number: int, variations: int, done: int, clips: int) -> None:
        self._progress.update(done, clips, f"teacher, {number} of {variations}")

    def step(self, progress: StepProgress) -> None:
        left = console.duration(progress.seconds_left)
        self._last = f"{progress.clips_per_second:5.1f} crops/s, {left} left"
        text = f"loss {progress.loss:.3f}  {self._last}"
        self._progress.update(progress.step, progress.steps, text)

    def check(self, row: CheckRow) -> None:
        console.say(
            f"step {row['step']}  loss {row['loss']:.3f} (cosine {row['cosine']:.3f},"
            f" similarities {row['similarity']:.3f})  held-out EER {100 * row['eer']:.1f} %"
            f"  {self._last}"
        )
