"""What a gallery holds: people, the embeddings of their clips, and the model that made them.

Shapes: C clips of a person, E embedding, P people, S samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from voxedge.errors import NameTaken, UnknownPerson, UsageError
from voxedge.gallery.calibration import Calibration
from voxedge.inference.scoring import unit_length
from voxedge.model_file.metadata import Metadata
from voxedge.names import is_blank, lookalikes, speaker_name

Floats: TypeAlias = npt.NDArray[np.float32]
Kept: TypeAlias = npt.NDArray[np.int16]

#: Seconds of speech from which on a person is completely enrolled: five clips of 2 to 3 s named
#: best, and more were not measured (docs/enroll.md).
WANTED_SECONDS = 10.0
_MAX_NAME = 200  # characters


@dataclass(frozen=True)
class GalleryModel:
    """The model file whose embeddings a gallery holds."""

    digest: str  # of the model file: another one's embeddings do not compare
    file: str  # its name, for people
    source: str  # of its metadata
    sample_rate: int  # Hz, of kept samples
    embedding_dim: int  # E

    @classmethod
    def of(cls, metadata: Metadata, file: str) -> GalleryModel:
        """Describe a model file."""
        return cls(
            metadata.digest, file, metadata.source, metadata.sample_rate, metadata.embedding_dim
        )


@dataclass(frozen=True)
class EnrolledClip:
    """A clip of a person."""

    file: str  # its name, without folders
    seconds: float
    speech: float  # seconds of it that are voiced
    embedding: Floats = field(repr=False, compare=False)  # [E], unit length
    samples: Kept | None = field(default=None, repr=False, compare=False)  # [S], if kept


@dataclass(frozen=True)
class Person:
    """An enrolled person."""

    name: str
    clips: tuple[EnrolledClip, ...]

    @cached_property
    def embeddings(self) -> Floats:
        """Of the clips: [C, E]."""
        return np.stack([clip.embedding for clip in self.clips])

    @cached_property
    def mean(self) -> Floats:
        """The mean of the clips' embeddings, of unit length: [E]."""
        return unit_length(self.embeddings.mean(axis=0))

    @property
    def speech(self) -> float:
        """Seconds of speech in all clips."""
        return sum(clip.speech for clip in self.clips)

    @property
    def percent(self) -> int:
        """How much of the speech is there that is wanted, 0 to 100."""
        return min(100, int(100 * self.speech / WANTED_SECONDS))


@dataclass(frozen=True)
class Contents:
    """All that a gallery's file holds; every change is a new one."""

    model: GalleryModel
    people: tuple[Person, ...] = ()
    calibration: Calibration | None = None  # on strangers of the user's own

    @property
    def names(self) -> tuple[str, ...]:
        """Of the people, in the order of their enrolment."""
        return tuple(person.name for person in self.people)

    @cached_property
    def means(self) -> Floats:
        """The people's embeddings: [P, E]."""
        rows = [person.mean for person in self.people]
        return np.stack(rows) if rows else np.zeros((0, self.model.embedding_dim), np.float32)

    def find(self, name: str) -> Person | None:
        """The person of this name, if there is one."""
        wanted = speaker_name(name)
        return next((person for person in self.people if person.name == wanted), None)

    def person(self, name: str) -> Person:
        """The person of this name.

        Raises:
            UnknownPerson: there is none.
        """
        found = self.find(name)
        if found is None:
            near = similar(name, self.names)
            hint = f"did you mean {near!r}?" if near else "voxedge gallery list shows the names"
            raise UnknownPerson(f"nobody in the gallery is called {name!r}", hint)
        return found

    def without(self, name: str) -> Contents:
        """Remove a person.

        Raises:
            UnknownPerson: there is none of this name.
        """
        gone = self.person(name)
        return replace(self, people=tuple(each for each in self.people if each is not gone))

    def with_person(self, person: Person) -> Contents:
        """Add a person, or replace the one of the same name."""
        if self.find(person.name) is None:
            return replace(self, people=(*self.people, person))
        people = (person if each.name == person.name else each for each in self.people)
        return replace(self, people=tuple(people))


def new_name(name: str, taken: Sequence[str]) -> str:
    """A name as a label, if it can be told from those that are taken.

    Raises:
        UsageError: it cannot be seen, or is too long.
        NameTaken: it is taken, or differs from one that is in case or blanks only.
    """
    label = speaker_name(name)
    if is_blank(label):
        raise UsageError("a name that cannot be seen")
    if len(label) > _MAX_NAME:
        raise UsageError(f"a name of {len(label)} characters; at most {_MAX_NAME}")
    if label in taken:
        raise NameTaken(f"there is a {label!r} in the gallery")
    if near := similar(label, taken):
        raise NameTaken(
            f"{label!r} cannot be told from {near!r}, who is in the gallery",
            "spell it in the same way, or take another name",
        )
    return label


def similar(name: str, taken: Sequence[str]) -> str | None:
    """Of the names that are taken, one that differs in case or blanks only."""
    groups = lookalikes([speaker_name(name), *taken])
    return next((x for group in groups if name in group for x in group if x != name), None)
