"""Prepare a training: load its corpus, split it, decide how long the trunk is frozen."""

from __future__ import annotations

from collections.abc import Callable

from voxedge.data.clips import Manifest
from voxedge.data.corpus import Corpus, load_corpus
from voxedge.data.split import Split, split_corpus
from voxedge.model_file.metadata import SUFFIX
from voxedge.train.pretrained.trunk import with_front_end_of_trunk
from voxedge.train.recipe import Recipe
from voxedge.train.weights import build_trunk, refuse_other_images

_FROZEN = ((2_000, 0.0), (300, 0.2), (0, 1.0))  # from so many training clips: fraction of steps


def with_trunk(recipe: Recipe) -> Recipe:
    """Refuse a trunk that cannot be had, before clips are decoded.

    A model file as the trunk decides the rate and the window: the recipe is returned with them.

    Raises:
        UsageError, RunError, ModelError: there is no such trunk, file or weights.
    """
    if recipe.model.pretrained:
        return with_front_end_of_trunk(recipe)
    build_trunk(recipe.model, image_rows=recipe.frontend.image_size)
    return recipe


def load_for(
    recipe: Recipe,
    manifest: Manifest,
    *,
    memory: int = 0,
    workers: int = 1,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Corpus:
    """Load the clips of a manifest that a recipe uses; arguments as for ``load_corpus``.

    Raises:
        CorpusError: too few clips are usable, or ``strict`` is set and one is not.
    """
    return load_corpus(
        manifest,
        recipe.frontend.sample_rate,
        min_clips=recipe.data.min_clips,
        speakers=recipe.data.speakers,
        memory=memory,
        workers=workers,
        strict=strict,
        progress=progress,
    )


def split_for(recipe: Recipe, corpus: Corpus) -> Split:
    """Split a corpus as the recipe says."""
    data = recipe.data
    return split_corpus(corpus.entries, data.train_size, data.val_size, data.split_seed)


def with_frozen_share(recipe: Recipe, split: Split) -> Recipe:
    """Replace ``training.frozen`` = -1, which leaves it to the number of training clips.

    The fewer clips there are, the longer a trunk from an earlier training is frozen. A trunk from a
    model file always is: its batch norms are folded into the convolutions.

    Raises:
        UsageError: the trunk is frozen to the end, but was trained on other images than the
            recipe's front end makes.
    """
    if recipe.model.pretrained:  # always frozen
        return recipe
    if recipe.training.frozen < 0:
        recipe = recipe.with_values({"training.frozen": _frozen_share(recipe, split)})
    refuse_other_images(recipe)
    return recipe


def _frozen_share(recipe: Recipe, split: Split) -> float:
    if recipe.model.init in ("random", "imagenet"):
        return 0.0
    if recipe.model.init.endswith(SUFFIX):
        return 1.0
    clips = sum(side == "train" for side in split.sides.values())
    return next(share for fewest, share in _FROZEN if clips >= fewest)
