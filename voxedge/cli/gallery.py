"""``voxedge gallery``: the people who are enrolled, looked at and changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from voxedge.cli import console, options
from voxedge.errors import SomeFilesFailed, UsageError
from voxedge.gallery.gallery import Gallery
from voxedge.gallery.report import GalleryReport, check, export, people_records
from voxedge.gallery.urls import is_url, shown
from voxedge.text import printable

Name = Annotated[str, typer.Argument(metavar="NAME", help="An enrolled person.")]

#: What a threshold rests on.
_BASIS = {
    "people": "by the {} people themselves",
    "strangers": "by the {} speakers of gallery calibrate",
    "measured": "measured on {} speakers of other corpora",
}

app = options.command_app("gallery", "People who are enrolled: look at them, and change them.")


@app.command("list")
def show(
    gallery: options.GalleryFile = options.DEFAULT_PEOPLE,
    trust: options.Trust = None,
    as_json: options.Json = False,
) -> None:
    """List the people, with their clips and how complete they are."""
    contents = Gallery(gallery, trust=trust).contents
    rows = people_records(contents)
    if as_json:
        for row in rows:
            console.answer(json.dumps(row))
        return
    console.show_table(
        f"{gallery}: {_count(len(rows))}, embeddings of {contents.model.file}",
        ["", "clips", "kept", "seconds of speech", "complete"],
        [
            [
                *(each["name"], each["clips"], each["kept"]),
                *(f"{each['speech_seconds']:.1f}", f"{each['percent']} %"),
            ]
            for each in rows
        ],
    )


@app.command()
def remove(name: Name, gallery: options.GalleryFile = options.DEFAULT_PEOPLE) -> None:
    """Remove a person; the file is written anew without name, embeddings and samples."""
    Gallery(gallery).remove(name)
    console.answer(f"{printable(name)} was removed")


@app.command()
def rename(
    name: Name,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The new name.")],
    gallery: options.GalleryFile = options.DEFAULT_PEOPLE,
) -> None:
    """Give a person another name."""
    Gallery(gallery).rename(name, new)
    console.answer(f"{printable(name)} is called {printable(new)} now")


@app.command()
def merge(
    name: Name,
    others: Annotated[
        list[str], typer.Argument(metavar="OTHERS...", help="Names whose clips become NAME's.")
    ],
    gallery: options.GalleryFile = options.DEFAULT_PEOPLE,
    force: Annotated[
        bool, typer.Option("--force", help="Also if they do not sound like one person.")
    ] = False,
) -> None:
    """Make several people one, who was enrolled under several names."""
    person = Gallery(gallery).merge(name, others, force=force)
    console.answer(f"{printable(person.name)}: {len(person.clips)} clips")


@app.command("check")
def examine(
    gallery: options.GalleryFile = options.DEFAULT_PEOPLE,
    accept: options.Accept = options.DEFAULT_SHARE,
    trust: options.Trust = None,
    as_json: options.Json = False,
) -> int:
    """Find clips of another voice, people who sound alike, and people with too little speech."""
    report = check(Gallery(gallery, trust=trust).contents, str(gallery), accept)
    if as_json:
        console.answer(json.dumps(report))
    else:
        _show(report)
    wrong = [finding for finding in report["findings"] if finding["code"] != "incomplete"]
    return SomeFilesFailed.exit_code if wrong else 0


@app.command("import")
def take(
    others: Annotated[
        list[Path], typer.Argument(metavar="OTHERS...", help="Files of other galleries.")
    ],
    gallery: options.GalleryFile = options.DEFAULT_PEOPLE,
    join: Annotated[
        bool, typer.Option("--join", help="People of one name are one person.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also one name of two voices, one voice of two names.")
    ] = False,
    trust: options.Trust = None,
) -> None:
    """Take the people of other galleries of the same model file; all of them, or nobody."""
    found = Gallery(gallery).import_people(others, join=join, force=force, trust=trust)
    for other, each in zip(others, found, strict=True):
        counts = (len(each.added), len(each.joined), len(each.known))
        console.answer(
            f"{printable(str(other))}: {counts[0]} added, {counts[1]} joined, {counts[2]} there"
            " already"
        )
    if not force and not all(each.checked for each in found):
        console.warn(
            "no threshold is known for the model file, so voices were not compared: voxedge gallery"
            " calibrate DATA measures one"
        )


@app.command("export")
def write(
    out: Annotated[
        str,
        typer.Argument(
            metavar="OUT", help="people.json, .csv, .npz or .vxg; or the URL of a database."
        ),
    ],
    gallery: options.GalleryFile = options.DEFAULT_PEOPLE,
    sign: Annotated[
        Path | None, typer.Option(metavar="KEY", help="Sign OUT.vxg by a private key, Ed25519.")
    ] = None,
) -> None:
    """Write names and embeddings: for other programs, for devices (.vxg), or into a database."""
    contents = Gallery(gallery).contents
    if is_url(out):
        from voxedge.gallery.published import publish

        if sign is not None:
            raise UsageError("--sign is for .vxg: a database has no signature")
        publish(contents, out)
    else:
        if Path(out).resolve() == gallery.resolve():
            raise UsageError(f"{out} is the gallery itself", "name another file")
        export(contents, Path(out), sign)
    console.answer(f"{printable(shown(out))}: {_count(len(contents.people))}")


@app.command()
def migrate(
    model: Annotated[str, typer.Option(help="The model file to change to.")],
    gallery: options.GalleryFile = options.DEFAULT_PEOPLE,
) -> None:
    """Embed the clips that were kept (enroll --keep-clips) with another model file."""
    people = Gallery(gallery)
    people.migrate(model)
    console.answer(f"{gallery}: {_count(len(people.names))}, embeddings of {Path(model).name}")


@app.command()
def calibrate(
    data: options.Corpus,
    gallery: options.GalleryFile = options.DEFAULT_PEOPLE,
    model: options.EmbeddingModel = None,
) -> None:
    """Measure the thresholds of a model file on strangers: three clips or more of each speaker."""
    from voxedge.data.manifest import read_manifest

    clips = read_manifest(data).clips
    pairs = ((clip.speaker, clip.source) for clip in clips)
    found, unusable = Gallery(gallery, model).calibrate(pairs, data.name)
    for each in unusable:
        console.warn(f"{each.report.path}: {each.report.reason}, {each.report.message}")
    console.answer(
        f"{found.clips} clips of {found.speakers} speakers: of strangers 5 % reach a cosine of"
        f" {found.cosine(0.05):.3f} with a person, {found.least:.1%} of"
        f" {found.cosine(found.least):.3f}"
    )


def _count(people: int) -> str:
    return "1 person" if people == 1 else f"{people} people"


def _show(report: GalleryReport) -> None:
    line = report["threshold"]
    console.answer(
        f"{printable(report['path'])}: {_count(report['people'])}, {report['clips']} clips,"
        f" embeddings of {printable(report['model'])}"
    )
    if line is None:
        console.answer("  no threshold is known for this model: voxedge gallery calibrate DATA")
    else:
        accept = 100 * (line["accept"] or 0)
        console.answer(
            f"  threshold {line['cosine']:.3f}, which {accept:.3g} % of strangers reach"
            f" ({_BASIS[line['basis']].format(line['speakers'])})"
        )
    if report["own_below"] is not None:
        console.answer(f"  {100 * report['own_below']:.3g} % of the enrolled clips are below it")
    for finding in report["findings"]:
        console.answer(
            f"  {printable(finding['name'])}: {finding['code']}, {printable(finding['message'])}"
        )
