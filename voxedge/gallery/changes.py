"""Changes of a gallery: each makes new contents of the old ones, or raises and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from voxedge.errors import AnotherVoice, EnrolmentError, GalleryError, TooClose, UsageError
from voxedge.gallery.embed import HeardClip, to_int16
from voxedge.gallery.enrolment import ClipReport, Enrolment, nearest_other, odd_clips
from voxedge.gallery.people import Contents, EnrolledClip, GalleryModel, Person, new_name
from voxedge.gallery.thresholds import calibration, leave_one_out, pair_threshold
from voxedge.inference.identifier import Identifier

#: Share of pairs of different people who are taken for one when the second is enrolled.
CLOSE = 0.002
_SAME_CLIP = 0.99999  # cosine


def enrolled(
    contents: Contents, name: str, heard: Sequence[HeardClip], force: bool
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
    reports, clips = _new_clips(heard, before)
    if not clips:
        raise EnrolmentError(
            f"{label} was not enrolled: {_reasons(reports)}", "record other clips", reports
        )
    person = Person(label, (*before, *clips))
    compared = pair_threshold(contents) is not None and not force
    if not force:
        _require_one_voice(contents, person, reports)
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
    people = (replace(each, name=label) if each is person else each for each in contents.people)
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
    if not force:
        _require_one_voice(contents, whole, ())
    for other in added:
        contents = contents.without(other)
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
            f"the clips of {names} were not kept, and cannot be heard again",
            "remove them, or enrol them anew with --keep-clips",
        )
    rate = contents.model.sample_rate
    clips = [clip for person in contents.people for clip in person.clips]
    samples = [
        model.decode(clip.samples, rate).samples for clip in clips if clip.samples is not None
    ]
    heard = [scores.embedding for scores in model.score(enumerate(samples))]
    if not all(len(vector) and np.isfinite(vector).all() for vector in heard):
        raise GalleryError("the other model gives no embedding of a kept clip")
    new = iter(
        [
            replace(clip, embedding=vector, samples=to_int16(sound))
            for clip, vector, sound in zip(clips, heard, samples, strict=True)
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
    rows = odd_clips(person.embeddings, line.cosine)
    others = [each.mean for each in contents.people if each.name != person.name]
    if not rows and others and len(person.clips) > 1:
        own = leave_one_out(person.embeddings)
        theirs = (person.embeddings @ np.stack(others).T).max(axis=1)
        rows = np.flatnonzero((theirs > own) & (theirs >= line.cosine)).tolist()
    return [person.clips[row] for row in rows]


def close_one(contents: Contents, person: Person) -> tuple[Person, float] | None:
    """Another person who sounds like this one, and the cosine; None where no threshold is known."""
    known = calibration(contents)
    if known is None:
        return None
    return nearest_other(person, contents.people, known.cosine(CLOSE))


def _new_clips(
    heard: Sequence[HeardClip], before: Sequence[EnrolledClip]
) -> tuple[list[ClipReport], list[EnrolledClip]]:
    """The reports of all clips, and those that can be enrolled and were not yet."""
    reports: list[ClipReport] = []
    clips: list[EnrolledClip] = []
    for each in heard:
        report = each.report
        if each.clip is not None:
            vector = each.clip.embedding
            if any(float(old.embedding @ vector) > _SAME_CLIP for old in (*before, *clips)):
                report = replace(report, reason="already_enrolled", message="the same clip again")
            else:
                clips.append(each.clip)
        reports.append(report)
    return reports, clips


def _require_one_voice(contents: Contents, person: Person, reports: Sequence[ClipReport]) -> None:
    odd = odd_ones(contents, person)
    if not odd:
        return
    files = {clip.file for clip in odd}
    marked = [
        replace(report, reason="another_voice", message="does not sound like the others")
        if not report.reason and report.path.rpartition("/")[2] in files
        else report
        for report in reports
    ]
    hint = "leave it out; --force enrols it all the same"
    if len(odd) == len(person.clips):
        names = " and ".join(clip.file for clip in odd[:2])
        message = f"{names} do not sound like one person, so {person.name} was not enrolled"
        hint = "add a third clip, which shows the odd one; --force enrols them all the same"
    else:
        more = f" (nor do {len(odd) - 1} more)" if len(odd) > 1 else ""
        message = f"{odd[0].file} does not sound like the other clips of {person.name}{more}"
    raise AnotherVoice(message, hint, marked)


def _require_new_voice(contents: Contents, person: Person, reports: Sequence[ClipReport]) -> None:
    close = close_one(contents, person)
    if close is not None:
        other, cosine = close
        raise TooClose(
            f"{person.name} sounds like {other.name}, who is enrolled (cosine {cosine:.2f})",
            f"if it is {other.name}, add the clips: voxedge enroll {other.name!r} CLIP...;"
            " --force enrols a second person",
            reports,
        )


def _reasons(reports: Sequence[ClipReport]) -> str:
    """Why clips cannot be enrolled, for one sentence."""
    said = [f"{each.path}: {each.reason}, {each.message}" for each in reports if each.reason]
    return "; ".join(said[:3]) + "; ..." * (len(said) > 3) or "no clips"
