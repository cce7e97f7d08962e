"""Enrol people and recognise them: a gallery, which is one file, and a model file.

``Gallery`` is to embeddings what ``Identifier`` is to a network that names speakers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from voxedge.audio.load import Source
from voxedge.errors import (
    UsageError,
)
from voxedge.gallery import changes, file
from voxedge.gallery.calibration import Calibration, measure
from voxedge.gallery.embed import EmbeddedClip, hear, one_embedding
from voxedge.gallery.enrolment import Enrolment
from voxedge.gallery.importing import Imported, imported
from voxedge.gallery.naming import Naming
from voxedge.gallery.neighbours import open_index
from voxedge.gallery.people import Contents, Person, new_name
from voxedge.gallery.recognition import Recogniser, recogniser, require_people, search_of
from voxedge.gallery.search import Index
from voxedge.gallery.thresholds import DEFAULT_ACCEPT, log_odds, threshold
from voxedge.gallery.verification import Verification, compared, decided, given
from voxedge.inference.identifier import Identifier
from voxedge.inference.prediction import Threshold

DEFAULT_GALLERY = "people.vxg"


class Gallery(Naming):
    """People who were enrolled without training, and the model file of their embeddings.

    The file is read when it is first needed, and again with every change, under a lock: several
    processes may change it at once. ``reload`` reads what others have changed.

    Args:
        path: the gallery's file; the first ``enroll`` makes it.
        model: see ``Naming``.
        say: gets a line before what takes minutes: the index of more than 100,000 people.
        trust: the file of a public key. A gallery that is not signed by it is refused, and the
            gallery is not changed, which would take its signature off.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = DEFAULT_GALLERY,
        model: Identifier | str | os.PathLike[str] | None = None,
        *,
        say: Callable[[str], None] = lambda _: None,
        trust: str | os.PathLike[str] | None = None,
    ) -> None:
        self.path = Path(path)
        self._trust = None if trust is None else Path(trust)
        super().__init__(model)
        self._say = say
        self._index: Index | None = None  # of the contents' people
        self._contents: Contents | None = None
        self._recognisers: dict[tuple[int, float, float | None], Recogniser] = {}

    @property
    def contents(self) -> Contents:
        """What the file holds.

        Raises:
            GalleryNotFound: there is no file.
            GalleryError: it is not a whole gallery (``SignatureRefused``: not signed by the key
                that is trusted).
        """
        if self._contents is None:
            self._contents = file.read(self.path, self._trust)
        return self._contents

    @property
    def names(self) -> tuple[str, ...]:
        """Of the people, in the order of their enrolment."""
        return self.contents.names

    def reload(self) -> None:
        """Read the file again when it is next needed."""
        self._contents = self._index = None
        self._recognisers.clear()

    def enroll(
        self,
        name: str,
        clips: Iterable[Source | npt.ArrayLike],
        *,
        sample_rate: int | None = None,
        keep_clips: bool = False,
        force: bool = False,
    ) -> Enrolment:
        """Enrol a person, or add clips to one.

        Clips that cannot be used are left out, with a reason for each. Voices are compared if a
        threshold is known for the model; else ``Enrolment.checked`` is false.

        Args:
            name: the person's.
            clips: paths, bytes of files, binary files, or samples.
            sample_rate: Hz, of samples; by default the model's.
            keep_clips: keep the samples in the gallery, so that it can be migrated to another
                model.
            force: enrol clips of different voices, and a voice that is enrolled already.

        Raises:
            EnrolmentError: no clip can be used (``AnotherVoice``: one is of another person;
                ``TooClose``: the person is enrolled under another name). Nothing was changed.
            NameTaken: the name differs from another one in case or blanks only.
            ForeignModel: the gallery was made with another model file.
            GalleryBusy: another process has been changing the gallery for long.
            OSError: the disk is full, or the folder read-only; the gallery is as it was.
        """
        if self.path.exists():  # said before any clip is decoded
            self._require_own_model(self.contents)
            if self.contents.find(name) is None:
                new_name(name, self.names)
        else:
            new_name(name, ())
        embedded = hear(self.identifier, clips, sample_rate, keep_clips)
        result: list[Enrolment] = []

        def change(contents: Contents) -> Contents:
            self._require_own_model(contents)
            changed, enrolment = changes.enrolled(contents, name, embedded, force)
            result.append(enrolment)
            return changed

        self._change(change, Contents(self._own_model()))
        return result[0]

    def recogniser(
        self, top_k: int = 5, accept: float = DEFAULT_ACCEPT, cosine: float | None = None
    ) -> Recogniser:
        """See ``Naming``.

        Raises:
            EmptyGallery: nobody is enrolled.
            ForeignModel: the gallery was made with another model file.
            MissingExtra: there are more than 100,000 people, and usearch is not installed.
        """
        asked = (top_k, accept, cosine)
        if asked not in self._recognisers:
            self.require_own_model()
            contents = self.contents
            require_people(len(contents.people), self.path.name)
            line = self.threshold(accept, cosine)
            if self._index is None:
                self._index = open_index(contents.means, self.path.resolve(), self._say)
            search = search_of(self._index, contents.names)
            self._recognisers[asked] = recogniser(
                search, len(contents.people), line, log_odds(contents), top_k
            )
        return self._recognisers[asked]

    def threshold(
        self, accept: float = DEFAULT_ACCEPT, cosine: float | None = None
    ) -> Threshold | None:
        """See ``Naming``."""
        return threshold(self.contents, accept) if cosine is None else given(cosine)

    def verify(
        self,
        name: str,
        source: Source | npt.ArrayLike,
        *,
        sample_rate: int | None = None,
        accept: float = DEFAULT_ACCEPT,
        cosine: float | None = None,
    ) -> Verification:
        """Decide whether a clip is of a person.

        Args:
            name: the person's.
            source: as for ``Identifier.identify``.
            sample_rate: Hz, of samples; by default the model's.
            accept: the share of strangers who are taken for the person.
            cosine: a threshold in place of that.

        Raises:
            UnknownPerson: nobody has this name.
            AudioError: one of its kinds, also for a clip without speech.
            UsageError: no threshold is known, and none is given.
        """
        self._require_own_model(self.contents)
        person = self.contents.person(name)
        line = decided(self.contents, accept, cosine)
        embedded = one_embedding(self.identifier, source, sample_rate)
        odds, seconds = log_odds(self.contents), (embedded.speech_seconds,)
        return compared(person.mean, embedded.vector, line, odds, seconds)

    def remove(self, name: str) -> None:
        """Remove a person: the file is written anew without name, embeddings and samples.

        Raises:
            UnknownPerson: nobody has this name.
        """
        self._change(lambda contents: contents.without(name))

    def rename(self, name: str, new: str) -> None:
        """Give a person another name.

        Raises:
            UnknownPerson: nobody has this name.
            NameTaken: somebody has the new one, or one that looks the same.
        """
        self._change(lambda contents: changes.renamed(contents, name, new))

    def merge(self, name: str, others: Iterable[str], *, force: bool = False) -> Person:
        """Make several people one: the clips of the others become those of ``name``.

        Raises:
            UnknownPerson: nobody has one of the names.
            AnotherVoice: the clips do not sound like one person; nothing was changed.
        """
        gone = list(others)
        return self._change(lambda contents: changes.merged(contents, name, gone, force)).person(
            name
        )

    def import_people(
        self,
        others: Iterable[str | os.PathLike[str]],
        *,
        join: bool = False,
        force: bool = False,
        trust: str | os.PathLike[str] | None = None,
    ) -> list[Imported]:
        """Take the people of other galleries of the same model file, as they stand in their files.

        If this gallery has no file, it begins as an empty one of the first one's model. A gallery
        without a calibration takes that of another. Clips that are there already are passed over.

        Args:
            others: the galleries' files.
            join: people of one name are one person, who gets the clips of both. Otherwise other
                clips of a name are refused.
            force: also clips of different voices under one name, and one voice under two.
            trust: the file of a public key, by which the others have to be signed.

        Returns:
            What became of each gallery's people.

        Raises:
            NameTaken: a name is taken, or differs from one in case or blanks only.
            AnotherVoice: clips of one name are of two voices.
            TooClose: two names are of one voice.
            ForeignModel: another model file made one of the galleries.
            GalleryError: one of them cannot be read. Nothing was changed.
        """
        key = None if trust is None else Path(trust)
        read = [(Path(path), file.read(Path(path), key)) for path in others]
        if not read:
            raise UsageError("import takes the files of other galleries")
        result: list[Imported] = []

        def change(contents: Contents) -> Contents:
            for path, other in read:
                contents, each = imported(contents, other, path.name, join=join, force=force)
                result.append(each)
            return contents

        self._change(change, Contents(read[0][1].model))
        return result

    def migrate(self, model: Identifier | str | os.PathLike[str]) -> None:
        """Embed the kept clips with another model file, and belong to that from now on.

        Raises:
            GalleryError: the clips of somebody were not kept; nothing was changed.
        """
        target = model if isinstance(model, Identifier) else Identifier(model)
        self._change(lambda contents: changes.migrated(contents, target))
        self._model = target

    def calibrate(
        self, clips: Iterable[tuple[str, Source]], corpus: str
    ) -> tuple[Calibration, tuple[EmbeddedClip, ...]]:
        """Measure how similar strangers are, and keep that in the gallery.

        Args:
            clips: speakers who are not enrolled, and a clip of each pair. Several clips a speaker.
            corpus: what they are, for people.

        Returns:
            What was measured, and the clips that could not be used.

        Raises:
            CorpusError: there are too few speakers.
        """
        pairs = list(clips)
        self._require_own_model(self.contents)
        embedded = hear(self.identifier, [source for _, source in pairs], None, keep=False)
        usable = [(each, pair[0]) for each, pair in zip(embedded, pairs, strict=True) if each.clip]
        vectors = [each.clip.embedding for each, _ in usable if each.clip]
        stacked = np.stack(vectors) if vectors else np.zeros((0, 1), np.float32)
        found = measure(stacked, [speaker for _, speaker in usable], corpus)
        self._change(lambda contents: replace(contents, calibration=found))
        return found, tuple(each for each in embedded if each.clip is None)

    def _change(
        self, change: Callable[[Contents], Contents], new: Contents | None = None
    ) -> Contents:
        """Replace the file by what a function makes of its present content, under its lock.

        ``new`` is what it makes something of where there is no file.
        """
        if self._trust is not None:
            raise UsageError(
                f"a change would take the signature off {self.path.name}",
                "change the gallery that it was exported from, and export it again",
            )
        changed = file.change(self.path, change, new)
        self.reload()
        self._contents = changed
        return changed

    def require_own_model(self) -> None:
        """Refuse to go on with another model file than the gallery's.

        Raises:
            ForeignModel: it is another one.
        """
        self._require_own_model(self.contents)

    def _require_own_model(self, contents: Contents) -> None:
        own = self._own_model()
        if own.digest != contents.model.digest:
            kept = all(clip.samples is not None for each in contents.people for clip in each.clips)
            migrate = f"voxedge gallery migrate --model {own.file} re-embeds the kept clips"
            hint = migrate if kept else "enrol the people anew"
            raise self._foreign(contents.model, self.path.name, hint)
