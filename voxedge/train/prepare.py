"""Everything between a recipe and the first step: the corpus, its split, what stays frozen.

Nothing here prints: what people should know comes back, or goes to a callback.
"""

from __future__ import annotations

from collections.abc import Callable

from voxedge.data.corpus import Corpus, load_corpus
from voxedge.data.manifest import Manifest
from voxedge.data.split import Split, split_corpus
from voxedge.model_file.metadata import SUFFIX
from voxedge.train.recipe import Recipe
from voxedge.train.weights import refuse_other_images

_FROZEN = ((2_000, 0.0), (300, 0.2), (0, 1.0))  # training clips, share of the steps


def load_for(
    recipe: Recipe,
    manifest: Manifest,
    *,
    memory: int = 0,
    workers: int = 1,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Corpus:
    """The clips that a recipe wants of a manifest, decoded; arguments as for ``load_corpus``.

    Raises:
        CorpusError: too little is left, or ``strict`` and a clip that is unusable.
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
    """The corpus, split as the recipe says."""
    data = recipe.data
    return split_corpus(corpus.entries, data.train_size, data.val_size, data.split_seed)


def with_frozen_share(recipe: Recipe, split: Split) -> Recipe:
    """The recipe with ``training.frozen`` decided, where it leaves that to the size of the data.

    The fewer training clips there are, the longer a trunk with weights of an earlier training is
    frozen; a trunk from a model file always is, since its batch norms are folded.

    Raises:
        UsageError: it is frozen to the end, and the recipe's front end makes other images than
            those that it was trained on.
    """
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
