"""Take the people of another gallery of the same model file: what several devices enrolled.

Nothing of a gallery is taken if one of its people is refused. Shapes: E embedding, P people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from voxedge.errors import AnotherVoice, ForeignModel, NameTaken, TooClose
from voxedge.gallery.changes import close_cosine, is_same_clip, odd_ones
from voxedge.gallery.people import BLOCK, Contents, Person
from voxedge.names import lookalikes

_NAMED = 3  # people or pairs that an error names


@dataclass(frozen=True)
class Imported:
    """What became of another gallery's people."""

    added: tuple[str, ...]
    joined: tuple[str, ...]  # people who got clips
    known: tuple[str, ...]  # people whose clips were all there already
    checked: bool  # whether voices were compared; not where no threshold is known


def imported(
    contents: Contents, other: Contents, name: str, *, join: bool, force: bool
) -> tuple[Contents, Imported]:
    """Add the people of another gallery: see ``Gallery.import_people``.

    Args:
        contents: the gallery.
        other: the one whose people are taken.
        name: of the other one, for people.
        join: people of one name are one person.
        force: also clips of different voices under one name, and one voice under two.

    Raises:
        ForeignModel, NameTaken, AnotherVoice, TooClose: some are refused, who are named.
    """
    if other.model.digest != contents.model.digest:
        raise ForeignModel(
            f"{name} was made with {other.model.file}, and the gallery with {contents.model.file}:"
            " their embeddings do not compare"
        )
    added: list[Person] = []
    joined: list[Person] = []
    known: list[str] = []
    own = dict(zip(contents.names, contents.people, strict=True))
    for person in other.people:
        mine = own.get(person.name)
        new = person if mine is None else _without(person, mine)
        if mine is None:
            added.append(person)
        elif new.clips:
            joined.append(new)
        else:
            known.append(person.name)
    for group in lookalikes([*contents.names, *(each.name for each in added)]):
        raise NameTaken(
            f"{' and '.join(map(repr, group))} cannot be told apart",
            "voxedge gallery rename gives the same person the same name, then --join",
        )
    if joined and not join:
        raise NameTaken(
            f"both galleries have other clips of {_listed([each.name for each in joined])}",
            "--join takes them for the same people; if they are not, voxedge gallery rename",
        )
    changed = _joined(contents, joined, name, force)
    if not force:
        _require_new_voices(changed, added, name)
    changed = replace(
        changed,
        people=(*changed.people, *added),
        calibration=contents.calibration or other.calibration,
    )
    checked = close_cosine(contents) < np.inf and not force
    names = [tuple(each.name for each in people) for people in (added, joined)]
    return changed, Imported(names[0], names[1], tuple(known), checked)


def _without(person: Person, mine: Person) -> Person:
    """A person without the clips that the one of the same name has."""
    clips = (c for c in person.clips if not is_same_clip(c.embedding, mine.embeddings))
    return Person(person.name, tuple(clips))


def _joined(contents: Contents, people: Sequence[Person], name: str, force: bool) -> Contents:
    """The contents with more clips of people, who are of the gallery of a name.

    Raises:
        AnotherVoice: they are of another voice than the person's clips; it names who.
    """
    more = {person.name: person.clips for person in people}
    whole = tuple(
        Person(each.name, (*each.clips, *more[each.name])) if each.name in more else each
        for each in contents.people
    )
    unlike = [] if force else [p.name for p in whole if p.name in more and odd_ones(contents, p)]
    if unlike:
        raise AnotherVoice(
            f"in {name} another voice has the same name: {_listed(unlike)}",
            "voxedge gallery rename one of the two; --force joins them all the same",
        )
    return replace(contents, people=whole)


def _require_new_voices(contents: Contents, added: Sequence[Person], name: str) -> None:
    """Refuse people who sound like somebody of the gallery.

    Raises:
        TooClose: some do; it names them.
    """
    line = close_cosine(contents)
    if not added or not contents.people or line == np.inf:
        return
    found: list[str] = []
    for start in range(0, len(added), BLOCK):
        rows = np.stack([person.mean for person in added[start : start + BLOCK]])
        cosines = rows @ contents.means.T
        for row in np.flatnonzero(cosines.max(axis=1) >= line).tolist():
            best = int(cosines[row].argmax())
            other = contents.names[best]
            found.append(f"{added[start + row].name} and {other} ({cosines[row, best]:.2f})")
    if found:
        raise TooClose(
            f"of {name} and the gallery these sound alike (cosine): {_listed(found)}",
            "voxedge gallery rename gives the same person the same name, then --join; --force takes"
            " them for two people",
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
