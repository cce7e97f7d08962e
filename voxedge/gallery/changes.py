"""Changes of a gallery: each makes new contents of the old ones, or raises and changes nothing."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from voxedge.errors import AnotherVoice, EnrolmentError, GalleryError, TooClose, UsageError
from voxedge.gallery.embed import EmbeddedClip, to_int16
from voxedge.gallery.enrolment import ClipReport, Enrolment, odd_clips
from voxedge.gallery.people import (
    Contents,
    EnrolledClip,
    Floats,
    GalleryModel,
    Person,
    new_name,
    percent_of,
)
from voxedge.gallery.thresholds import calibration, leave_one_out, pair_threshold
from voxedge.inference.identifier import Identifier
from voxedge.inference.scoring import unit_length

#: Share of pairs of different people who are taken for one when the second is enrolled.
CLOSE = 0.005
_SAME_CLIP = 0.99999  # cosine


def enrolled(
    contents: Contents, name: str, embedded: Sequence[EmbeddedClip], force: bool
) -> tuple[Contents, Enrolment]:
    """Enrol a person, or add clips to one: see ``Gallery.enroll``.

    Raises:
        EnrolmentError: no clip can be used, or they are of several voices, or of one that is
            enrolled under another name.
        NameTaken: the name differs from another one in case or blanks only.
    """
    known = contents.find(name)
    label = known.name if known else new_name(name, contents.names)
    before = known.clips if known else ()
    reports = _reports(embedded, before)
    clips = [
        each.clip
        for each, report in zip(embedded, reports, strict=True)
        if each.clip is not None and not report.reason
    ]
    if not clips:
        raise EnrolmentError(
            f"{label} was not enrolled: {_reasons(reports)}", "record other clips", reports
        )
    person = Person(label, (*before, *clips))
    compared = pair_threshold(contents) is not None and not force
    if not force:
        if odd := odd_ones(contents, person):
            gone = [any(each.clip is clip for clip in odd) for each in embedded]
            paths = {id(each.clip): each.report.path for each in embedded}
            raise _another_voice(person, odd, _counted(_marked(reports, gone), before), paths)
        if known is None:
            _require_new_voice(contents, person, reports)
    return contents.with_person(person), Enrolment(person, tuple(reports), compared)


def renamed(contents: Contents, name: str, new: str) -> Contents:
    """Give a person another name: see ``Gallery.rename``.

    Raises:
        UnknownPerson, NameTaken: nobody has the old name, or somebody has the new one.
    """
    person = contents.person(name)
    label = new_name(new, [other for other in contents.names if other != person.name])
    people = (
        replace(each, name=label) if each.name == person.name else each for each in contents.people
    )
    return replace(contents, people=tuple(people))


def merged(contents: Contents, name: str, others: Sequence[str], force: bool) -> Contents:
    """Make several people one: see ``Gallery.merge``.

    Raises:
        UnknownPerson: nobody has one of the names.
        AnotherVoice: the clips are of several voices.
    """
    person = contents.person(name)
    added = {contents.person(other).name: contents.person(other) for other in others}
    if person.name in added or not added:
        raise UsageError("merge takes the name of a person, and names of others")
    clips = [clip for other in added.values() for clip in other.clips]
    whole = Person(person.name, (*person.clips, *clips))
    for other in added:
        contents = contents.without(other)
    if not force and (odd := odd_ones(contents, whole)):
        names = " and ".join((person.name, *added))
        raise AnotherVoice(
            f"{names} do not sound like one person: {odd[0].file} is unlike other clips",
            "--force merges them all the same",
        )
    return contents.with_person(whole)


def migrated(contents: Contents, model: Identifier) -> Contents:
    """Embed all kept clips with another model file: see ``Gallery.migrate``.

    Raises:
        GalleryError: the clips of somebody were not kept.
    """
    missing = [p.name for p in contents.people if any(clip.samples is None for clip in p.clips)]
    if missing:
        names = ", ".join(missing[:5]) + ", ..." * (len(missing) > 5)
        raise GalleryError(
            f"the clips of {names} were not kept, and cannot be embedded again",
            "remove them, or enrol them anew with --keep-clips",
        )
    rate = contents.model.sample_rate
    clips = [clip for person in contents.people for clip in person.clips]
    samples = [
        model.decode(clip.samples, rate).samples for clip in clips if clip.samples is not None
    ]
    embedded = [scores.embedding for scores in model.score(enumerate(samples))]
    if not all(len(vector) and np.isfinite(vector).all() for vector in embedded):
        raise GalleryError("the other model gives no embedding of a kept clip")
    new = iter(
        [
            replace(clip, embedding=vector, samples=to_int16(sound))
            for clip, vector, sound in zip(clips, embedded, samples, strict=True)
        ]
    )
    people = tuple(
        Person(person.name, tuple(next(new) for _ in person.clips)) for person in contents.people
    )
    return Contents(GalleryModel.of(model.metadata, model.model_file.path.name), people)


def odd_ones(contents: Contents, person: Person) -> list[EnrolledClip]:
    """The clips of a person that sound like another one, the oddest first.

    They are unlike the person's other clips, or more like somebody else who is enrolled. None where
    no threshold is known.
    """
    line = pair_threshold(contents)
    if line is None:
        return []
    rows = odd_clips(person.embeddings, line.cosine) or _strays(contents, person, line.cosine)
    return [person.clips[row] for row in rows]


def _strays(contents: Contents, person: Person, cosine: float) -> list[int]:
    """The clips, fewer than half, that are more like somebody else than like the person's others.

    None if the person without them sounds like that other one too: then all of it is one voice.
    """
    if len(person.clips) < 3 or not contents.people:
        return []
    means, rows = contents.means, person.embeddings
    theirs = _of_others(contents, person, rows @ means.T)
    stray = theirs.max(axis=1) >= np.maximum(leave_one_out(rows), cosine)
    if not stray.any() or 2 * stray.sum() >= len(rows):
        return []
    rest = unit_length(rows[~stray].mean(axis=0))
    suspects = means[theirs[stray].argmax(axis=1)]
    if (suspects @ rest >= close_cosine(contents)).any():
        return []
    found: list[int] = np.flatnonzero(stray).tolist()
    return found


def close_one(contents: Contents, person: Person) -> tuple[Person, float] | None:
    """Another person who sounds like this one, and the cosine; None where no threshold is known."""
    if not contents.people:
        return None
    cosines = _of_others(contents, person, (contents.means @ person.mean)[None])[0]
    best = int(cosines.argmax())
    close = cosines[best] >= close_cosine(contents)
    return (contents.people[best], float(cosines[best])) if close else None


def _of_others(contents: Contents, person: Person, cosines: Floats) -> Floats:
    """Cosines with all people [C, P], of which those with the person of this name do not count."""
    if person.name in contents.names:
        cosines[:, contents.names.index(person.name)] = -np.inf
    return cosines


def close_cosine(contents: Contents) -> float:
    """The cosine from which on two people are taken for one."""
    known = calibration(contents)
    return np.inf if known is None else known.cosine(CLOSE)


def is_same_clip(embedding: Floats, others: Floats) -> bool:
    """Whether the clip of an embedding [E] is one of others [C, E]."""
    return bool((others @ embedding > _SAME_CLIP).any())


def _reports(embedded: Sequence[EmbeddedClip], before: Sequence[EnrolledClip]) -> list[ClipReport]:
    """The reports of all clips; those that are enrolled already, or given twice, have a reason."""
    reports: list[ClipReport] = []
    seen = [clip.embedding for clip in before]
    for each in embedded:
        report = each.report
        if each.clip is not None:
            vector = each.clip.embedding
            if seen and is_same_clip(vector, np.stack(seen)):
                report = replace(report, reason="already_enrolled", message="the same clip again")
            seen.append(vector)
        reports.append(report)
    return _counted(reports, before)


def _counted(reports: Sequence[ClipReport], before: Sequence[EnrolledClip]) -> list[ClipReport]:
    """The reports, with how complete the person is after each clip that is not left out."""
    speech, counted = sum(clip.speech for clip in before), []
    for report in reports:
        speech += 0.0 if report.reason else report.speech
        counted.append(replace(report, percent=percent_of(speech)))
    return counted


def _marked(reports: Sequence[ClipReport], odd: Sequence[bool]) -> list[ClipReport]:
    """The reports, in which the odd clips have their reason."""
    why = "does not sound like the others"
    return [
        replace(report, reason="another_voice", message=why)
        if flag and not report.reason
        else report
        for report, flag in zip(reports, odd, strict=True)
    ]


def _another_voice(
    person: Person,
    odd: Sequence[EnrolledClip],
    reports: Sequence[ClipReport],
    paths: Mapping[int, str],
) -> AnotherVoice:
    """The error that names the odd clips of a person; ``paths`` are of the new ones, by ``id``."""
    names = [paths.get(id(clip), f"{clip.file} of those enrolled earlier") for clip in odd]
    refused = f"{person.name} was not enrolled: "
    if len(odd) == len(person.clips):
        hint = "add a third clip, which shows the odd one" if len(odd) == 2 else "they are of two"
        return AnotherVoice(
            f"{refused}{names[0]} and {names[1]} do not sound like one person",
            f"{hint}; --force takes them all the same",
            reports,
        )
    them = "it" if len(odd) == 1 else "them"
    hint = f"leave {them} out; --force takes {them} all the same"
    if any(id(clip) not in paths for clip in odd):
        hint = f"voxedge gallery remove {shlex.quote(person.name)}, then enrol without {them}"
    more = f" and {len(odd) - 3} more" if len(odd) > 3 else ""
    verb = "does" if len(odd) == 1 else "do"
    return AnotherVoice(
        f"{refused}{', '.join(names[:3])}{more} {verb} not sound like the other clips of"
        f" {person.name}",
        hint,
        reports,
    )


def _require_new_voice(contents: Contents, person: Person, reports: Sequence[ClipReport]) -> None:
    close = close_one(contents, person)
    if close is not None:
        other, cosine = close
        raise TooClose(
            f"{person.name} was not enrolled: the voice sounds like {other.name} (cosine"
            f" {cosine:.2f})",
            f"if it is {other.name}, add the clips: voxedge enroll {shlex.quote(other.name)}"
            " CLIP...; --force enrols a second person",
            reports,
        )


def _reasons(reports: Sequence[ClipReport]) -> str:
    """Why clips cannot be enrolled, for one sentence."""
    said = [f"{each.path}: {each.reason}, {each.message}" for each in reports if each.reason]
    return "; ".join(said[:3]) + "; ..." * (len(said) > 3) or "no clips"
