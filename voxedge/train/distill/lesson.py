"""What is distilled, and which clips are for what: checked before the teacher is asked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxedge.data.corpus import Corpus
from voxedge.errors import UsageError
from voxedge.files import write_json, write_text
from voxedge.train.distill.settings import Distillation
from voxedge.train.distill.speakers import Speaker, choose_held_out, clips_to_compare
from voxedge.train.distill.targets import Clips, Teacher
from voxedge.train.prepare import split_for
from voxedge.train.recipe import Recipe
from voxedge.train.weights import build_trunk

MAY_GROW = ("steps", "variations")  # more of them may be asked for later
_ABOUT = "distill.json"


@dataclass(frozen=True)
class Lesson:
    """What is distilled into what, and where.

    Args:
        recipe: of the student.
        settings: of the distillation.
        corpora: whose clips are learned from.
        teacher: whose embeddings are learned.
        folder: of the results.
        by_clip: names of corpora that are split by clip and not by speaker: nobody is held out, and
            only the clips are learned from that a training with this recipe would train on, so that
            its test clips stay unheard.
        targets: folder of what the teacher said; by default in that of the results.
    """

    recipe: Recipe
    settings: Distillation
    corpora: Sequence[Corpus]
    teacher: Teacher
    folder: Path
    by_clip: tuple[str, ...] = ()
    targets: Path | None = None


def check_teacher(recipe: Recipe, teacher: Teacher) -> None:
    """Refuse a teacher that a recipe's student cannot learn from.

    Raises:
        UsageError: it is of another rate or dimension.
    """
    rate = recipe.frontend.sample_rate
    if teacher.sample_rate != rate:
        raise UsageError(
            f"the teacher takes {teacher.sample_rate} Hz, the recipe {rate} Hz",
            f"--set frontend.sample_rate={teacher.sample_rate}",
        )
    rows = recipe.frontend.image_size
    _, embedding_dim = build_trunk(recipe.model, "random", image_rows=rows)
    if embedding_dim != teacher.embedding_dim:
        raise UsageError(
            f"the student's embedding has {embedding_dim} dimensions,"
            f" the teacher's {teacher.embedding_dim}",
            f"--set model.pooling=statistics --set model.embedding_dim={teacher.embedding_dim}",
        )


@dataclass(frozen=True)
class Roles:
    """Which clips are for what, as indices of the clips of all corpora."""

    clips: Clips
    speakers: tuple[Speaker, ...]  # of each clip
    held_out: tuple[Speaker, ...]
    kept: npt.NDArray[np.int64]  # trained on
    compared: list[int]  # checked by

    @classmethod
    def of(cls, lesson: Lesson) -> Roles:
        """Assign the clips.

        Raises:
            UsageError: two corpora of one name, or too few clips or speakers.
        """
        entries = tuple((c, entry) for c in lesson.corpora for entry in c.entries)
        clips = Clips(lesson.recipe.frontend.sample_rate, entries)
        names = [corpus_name(corpus) for corpus in lesson.corpora]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UsageError(f"two corpora are called {twice!r}: give one another name")
        speakers = tuple((corpus_name(c), entry.clip.speaker) for c, entry in entries)
        settings = lesson.settings
        held_out = choose_held_out(speakers, settings.held_out, lesson.by_clip)
        if len(held_out) < min(2, settings.held_out):
            raise UsageError("no two speakers with two clips can be held out", "--held-out 0")
        # A clip that is in two corpora must not be trained on under its other name.
        unheard = {
            entry.digest
            for (_, entry), speaker in zip(entries, speakers, strict=True)
            if speaker in held_out
        }
        for corpus in lesson.corpora:
            if corpus_name(corpus) in lesson.by_clip:
                unheard |= _not_for_training(corpus, lesson.recipe)
        kept = [i for i, (_, entry) in enumerate(entries) if entry.digest not in unheard]
        if len(kept) < lesson.recipe.training.batch_size:
            raise UsageError(
                f"{len(kept)} clips to learn from are fewer than a batch",
                "--held-out 0, or --set training.batch_size=8",
            )
        compared = clips_to_compare(speakers, held_out)
        return cls(clips, speakers, tuple(held_out), np.array(kept), compared)


def _not_for_training(corpus: Corpus, recipe: Recipe) -> set[str]:
    """Digests of the clips on the validation and test sides; speakers of few clips have none."""
    clips = Counter(entry.clip.speaker for entry in corpus.entries)
    enough = tuple(entry for entry in corpus.entries if clips[entry.clip.speaker] > 2)
    split = split_for(recipe, replace(corpus, entries=enough))
    return {
        entry.digest
        for entry in corpus.entries
        if split.sides.get(entry.clip.name, "train") != "train"
    }


def corpus_name(corpus: Corpus) -> str:
    """The name of a corpus: that of its folder."""
    return Path(corpus.manifest.root).resolve().name


def refuse_other(lesson: Lesson, roles: Roles) -> None:
    """Describe the distillation in its folder, or refuse a folder of something else.

    Raises:
        UsageError: it is of another distillation, or of a training.
    """
    path = lesson.folder / _ABOUT
    settings = asdict(lesson.settings)
    about: dict[str, Any] = {
        "recipe": lesson.recipe.to_dict(),
        "settings": {key: value for key, value in settings.items() if key not in MAY_GROW},
        "corpora": sorted([corpus_name(corpus), corpus.digest] for corpus in lesson.corpora),
        "teacher": lesson.teacher.digest,
        "by_clip": sorted(lesson.by_clip),
        "held_out": [list(speaker) for speaker in roles.held_out],
    }
    about = json.loads(json.dumps(about))
    if path.is_file():
        earlier = json.loads(path.read_text())
        # Through a recipe, so that values of a later version do not count as changes.
        earlier["recipe"] = Recipe.from_dict(earlier.get("recipe", {})).to_dict()
        for key, value in about.items():
            if earlier.get(key) != value:
                raise UsageError(
                    f"{lesson.folder} was begun with another {key.replace('_', '-')}",
                    "name another --out",
                )
    elif (lesson.folder / "recipe.toml").exists():
        raise UsageError(f"{lesson.folder} holds something else", "name another --out")
    else:
        write_json(path, about)
        write_text(lesson.folder / "recipe.toml", lesson.recipe.to_toml())
