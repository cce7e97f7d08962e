"""A small model file of embeddings, as ``voxedge fold`` writes it, and trainings on top of it."""

from __future__ import annotations

from pathlib import Path

import torch
from voxedge.export.fold.clips import Clips, synthetic_clips
from voxedge.export.fold.compose import read_network
from voxedge.export.fold.frontends import KaldiSettings
from voxedge.export.fold.pipeline import Origin, fold_network

from tests.conftest import RATE
from tests.export.fold.conftest import convolutions
from voxedge.data.corpus import Corpus
from voxedge.data.split import split_corpus
from voxedge.train import loop
from voxedge.train.pretrained.trunk import with_front_end_of_trunk
from voxedge.train.progress import Reporter, StepProgress
from voxedge.train.recipe import Recipe, load
from voxedge.train.run import Metrics, Run

WINDOW = 0.5  # seconds


def write_trunk(path: Path, rate: int = RATE) -> Path:
    """Fold a random network of three convolutions, whose embeddings keep the spectrum."""
    fold_network(
        read_network(convolutions(path.with_suffix(".net.onnx"))),
        KaldiSettings(rate, mean_norm=False),
        path,
        window_seconds=WINDOW,
        clips=Clips(synthetic_clips(rate).samples[:2], "synthetic"),
        origin=Origin("MIT", "a paper"),
    )
    return path


def recipe_on(trunk: Path, **changes: object) -> Recipe:
    """The recipe ``pretrained``, one copy, twenty epochs, and changes: ``augment__noise=0``."""
    values = {"model.trunk": str(trunk), "augment.copies": 1, "training.epochs": 20}
    values |= {name.replace("__", "."): value for name, value in changes.items()}
    return with_front_end_of_trunk(load("pretrained").with_values(values))


def train_on(
    folder: Path,
    corpus: Corpus,
    recipe: Recipe,
    reporter: Reporter | None = None,
    *,
    resume: bool = False,
) -> tuple[Run, Metrics]:
    """Train in a run folder."""
    run, split = Run(folder), split_corpus(corpus.entries, 0.6, 0.2)
    if not resume:
        run.describe(recipe, corpus, split)
    metrics = loop.train(
        recipe,
        corpus,
        split,
        run,
        reporter or Silent(),
        device=torch.device("cpu"),
        bf16=False,
        resume=resume,
    )
    return run, metrics


class Silent:
    """A reporter that shows nothing."""

    def embedded(self, done: int, clips: int) -> None:
        pass

    def step(self, progress: StepProgress) -> None:
        pass

    def epoch(self, row: dict[str, float], epochs: int) -> None:
        pass
