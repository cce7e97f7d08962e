"""``voxedge enroll``: add a person to a gallery, from a few clips and without training."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from voxedge.audio.limits import Limits
from voxedge.cli import console, options
from voxedge.cli.identify import Search
from voxedge.errors import EnrolmentError, SomeFilesFailed
from voxedge.gallery.enrolment import ClipReport, Enrolment
from voxedge.gallery.gallery import Gallery
from voxedge.gallery.people import WANTED_SECONDS
from voxedge.inference.identifier import Identifier, default_embedding_model
from voxedge.text import printable

app = options.command_app()


@app.command()
def enroll(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The person's name.")],
    clips: Annotated[
        list[str],
        typer.Argument(
            metavar="CLIPS...", help="Files, folders, patterns; - for stdin. Three or more."
        ),
    ],
    gallery: options.GalleryFile = options.DEFAULT_PEOPLE,
    model: options.EmbeddingModel = None,
    keep_clips: Annotated[
        bool,
        typer.Option("--keep-clips", help="Keep the samples, to migrate to another model later."),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Also clips of different voices, and a voice that is enrolled already."
        ),
    ] = False,
    device: options.Device = "auto",
    any_sound: options.AnySound = False,
    as_json: options.Json = False,
) -> int:
    """Enrol a person in a gallery, or add clips to one: no training, any model file.

    Nothing is written if a clip is of another voice, or the person is enrolled under another name.
    Clips that are too short, too quiet, clipped or without speech are left out.
    """
    chosen = model or default_embedding_model()
    people = Gallery(gallery, Identifier(chosen, device=device, any_sound=any_sound))
    search = Search(clips, Limits().max_bytes)
    try:
        done = people.enroll(name, search.sources(), keep_clips=keep_clips, force=force)
    except EnrolmentError as error:
        _say_passed_over(search)
        if as_json:
            what = {"code": error.code, "message": str(error)}
            reports = [report.to_dict() for report in error.reports]
            console.answer(json.dumps({"name": name, "error": what, "reports": reports}))
        else:
            _show_reports(error.reports)
        raise
    _say_passed_over(search)
    if as_json:
        console.answer(json.dumps(done.to_dict()))
    else:
        _show(done)
    if not done.checked and not force:
        console.warn(
            f"no threshold is known for {people.identifier.model_file.path.name}, so voices were"
            " not compared: voxedge gallery calibrate DATA measures one"
        )
    return SomeFilesFailed.exit_code if done.left_out or search.failures else 0


def _say_passed_over(search: Search) -> None:
    search.report()
    for failure in search.failures:
        console.complain(failure.error, failure.path)


def _show(done: Enrolment) -> None:
    person = done.person
    console.answer(
        f"{printable(person.name)}: {len(person.clips)} clip{'s' * (len(person.clips) != 1)},"
        f" {person.speech:.1f} s of speech, {person.percent} % of the {WANTED_SECONDS:g} s that are"
        " wanted"
    )
    _show_reports(done.reports)


def _show_reports(reports: tuple[ClipReport, ...]) -> None:
    for report in reports:
        words = f"{report.seconds:.1f} s, {report.speech:.1f} s of speech: {report.percent} %"
        if report.reason:
            words = f"left out: {report.reason}, {report.message}"
        console.answer(f"  {printable(report.path)}  {printable(words, 300)}")
