"""What a gallery holds: people, the embeddings of their clips, and the model that made them.

Shapes: C clips, E embedding, P people, S samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias, overload

import numpy as np
import numpy.typing as npt

from voxedge.errors import NameTaken, UnknownPerson, UsageError
from voxedge.gallery.calibration import Calibration
from voxedge.model_file.metadata import Metadata
from voxedge.names import is_blank, lookalikes, speaker_name

Floats: TypeAlias = npt.NDArray[np.float32]
Kept: TypeAlias = npt.NDArray[np.int16]
Bounds: TypeAlias = npt.NDArray[np.int64]  # [P + 1]: clips of person p are rows b[p] to b[p + 1]

#: Seconds of speech from which on a person is completely enrolled: five clips of 2 to 3 s named
#: best, and more were not measured (docs/enroll.md).
WANTED_SECONDS = 10.0
_MAX_NAME = 200  # characters
_MIN_NORM = 1e-12
#: People at a time, so that memory does not grow.
BLOCK = 4096


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
        mean: Floats = means_of(self.embeddings, np.array([0, len(self.clips)]))[0]
        return mean

    @property
    def speech(self) -> float:
        """Seconds of speech in all clips."""
        return sum(clip.speech for clip in self.clips)

    @property
    def percent(self) -> int:
        """How much of the speech is there that is wanted, 0 to 100."""
        return percent_of(self.speech)


def percent_of(speech: float) -> int:
    """How much so many seconds are of the speech that is wanted of a person, 0 to 100."""
    return min(100, int(100 * speech / WANTED_SECONDS))


@dataclass(frozen=True)
class ClipTable:
    """What a gallery's file holds of its clips, in columns: a hundred thousand objects are slow."""

    files: Sequence[str]
    seconds: Sequence[float]
    speech: Sequence[float]
    embeddings: Floats  # [C, E]
    samples: Kept  # of all clips, one after the other
    ends: Bounds  # [C + 1]: samples of clip c are e[c] to e[c + 1]

    def clip(self, row: int) -> EnrolledClip:
        """One of the clips."""
        first, last = self.ends[row : row + 2]
        samples = self.samples[first:last] if last > first else None
        return EnrolledClip(
            self.files[row], self.seconds[row], self.speech[row], self.embeddings[row], samples
        )


class StoredPeople(Sequence[Person]):
    """The people of a file, of whom each is made when it is asked for.

    Args:
        names: [P].
        bounds: [P + 1], of each person's clips.
        table: of the clips.
        means: gives the people's embeddings, by those of the clips.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        bounds: Bounds,
        table: ClipTable,
        means: Callable[[Floats, Bounds], Floats],
    ) -> None:
        self.names, self.clips, self._bounds, self._table = names, len(table.files), bounds, table
        self._means = means

    @cached_property
    def means(self) -> Floats:
        """[P, E], of unit length."""
        return self._means(self._table.embeddings, self._bounds)

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, number: int) -> Person: ...
    @overload
    def __getitem__(self, number: slice) -> tuple[Person, ...]: ...
    def __getitem__(self, number: int | slice) -> Person | tuple[Person, ...]:
        if isinstance(number, slice):
            return tuple(self[n] for n in range(*number.indices(len(self))))
        number = range(len(self))[number]
        number = range(len(self))[number]
        first, last = self._bounds[number], self._bounds[number + 1]
        return Person(self.names[number], tuple(map(self._table.clip, range(first, last))))

    def __iter__(self) -> Iterator[Person]:
        return (self[number] for number in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Contents:
    """All that a gallery's file holds; every change is a new one."""

    model: GalleryModel
    people: Sequence[Person] = ()
    calibration: Calibration | None = None  # on strangers of the user's own

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the people, in the order of their enrolment."""
        stored = self.people
        if isinstance(stored, StoredPeople):
            return stored.names
        return tuple(person.name for person in stored)

    @property
    def clips(self) -> int:
        """How many clips there are of all people."""
        stored = self.people
        if isinstance(stored, StoredPeople):
            return stored.clips
        return sum(len(person.clips) for person in stored)

    @cached_property
    def means(self) -> Floats:
        """The people's embeddings: [P, E]."""
        stored = self.people
        if isinstance(stored, StoredPeople):
            return stored.means
        if not stored:
            return np.zeros((0, self.model.embedding_dim), np.float32)
        bounds = np.cumsum([0, *(len(person.clips) for person in stored)])
        return means_of(np.stack([c.embedding for p in stored for c in p.clips]), bounds)

    def find(self, name: str) -> Person | None:
        """The person of this name, if there is one."""
        wanted = speaker_name(name)
        return self.people[self.names.index(wanted)] if wanted in self.names else None

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
        gone = self.person(name).name
        return replace(self, people=tuple(each for each in self.people if each.name != gone))

    def in_memory(self) -> Contents:
        """The same, of which every person is made."""
        return replace(self, people=tuple(self.people))

    def without_samples(self) -> Contents:
        """The same without the samples that were kept."""
        people = (
            replace(each, clips=tuple(replace(clip, samples=None) for clip in each.clips))
            for each in self.people
        )
        return replace(self, people=tuple(people))

    def with_person(self, person: Person) -> Contents:
        """Add a person, or replace the one of the same name."""
        if self.find(person.name) is None:
            return replace(self, people=(*self.people, person))
        people = (person if each.name == person.name else each for each in self.people)
        return replace(self, people=tuple(people))


def means_of(embeddings: Floats, bounds: Bounds) -> Floats:
    """The mean of each person's clips, of unit length: [P, E] of [C, E] and [P + 1].

    A person's mean is the same to the last bit, whoever else there is.
    """
    means = np.empty((len(bounds) - 1, embeddings.shape[1]), np.float32)
    for start in range(0, len(means), BLOCK):
        part = bounds[start : start + BLOCK + 1]
        rows = np.ascontiguousarray(embeddings[part[0] : part[-1]])
        sums = np.add.reduceat(rows, part[:-1] - part[0], axis=0)
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        means[start : start + BLOCK] = sums / np.maximum(norms, _MIN_NORM)
    return means


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
