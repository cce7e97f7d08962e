"""``voxedge data``: corpora, looked at and prepared."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from voxedge.cli import console, options
from voxedge.data.shards import CLIPS_PER_SHARD
from voxedge.errors import SomeFilesFailed, UsageError
from voxedge.text import printable
from voxedge.threads import available_processors
from voxedge.train.recipe_sections import DataRecipe

if TYPE_CHECKING:
    from voxedge.data.check import CorpusReport

_SHOWN = 20  # of a long list

app = options.command_app("data", "Look at corpora, and prepare them.")


@app.command()
def check(
    data: options.Corpus = options.DEFAULT_DATA,
    min_clips: Annotated[
        int, typer.Option(min=1, help="Clips that a speaker needs.")
    ] = DataRecipe().min_clips,
    as_json: options.Json = False,
) -> int:
    """List speakers, clips, hours, rates and sessions, and what is wrong with a corpus."""
    from voxedge.data.check import check_corpus

    with console.Progress("decoding") as progress:
        report = check_corpus(data, min_clips, progress.update)
    if as_json:
        console.answer(json.dumps(report))
    else:
        _show(report)
    return SomeFilesFailed.exit_code if report["problems"] else 0


@app.command()
def pack(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="A corpus of any kind, or the URL of a folder of folders."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the shards; goes on where it was.")],
    clips_per_shard: Annotated[
        int, typer.Option(min=1, help="Clips of the corpus in one tar file.")
    ] = CLIPS_PER_SHARD,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Threads that read and decode.", show_default="as many as processors"
        ),
    ] = None,
) -> int:
    """Pack a corpus into tar files (WebDataset's shards), to train on many clips from few files."""
    from voxedge.data.pack import pack as pack_corpus

    with console.Progress("packing") as progress:
        report = pack_corpus(
            data,
            out,
            clips_per_shard=clips_per_shard,
            workers=workers or available_processors(),
            progress=progress.update,
        )
    for each in report.left_out[:_SHOWN]:
        console.warn(f"{each['name']}: left out: {each['message']}")
    if len(report.left_out) > _SHOWN:
        console.warn(f"and {len(report.left_out) - _SHOWN} more: voxedge data check lists them")
    console.answer(
        f"{out}: {report.clips} clips in {report.shards} shard{'s' * (report.shards != 1)},"
        f" {report.bytes / 1e6:,.1f} MB; {len(report.left_out)} left out"
    )
    console.say(f"next: voxedge train {out}")
    return SomeFilesFailed.exit_code if report.left_out else 0


@app.command()
def voxceleb1(
    dataset_dir: Annotated[Path, typer.Option(help="Holds wav/ and iden_split.txt.")],
    download: Annotated[bool, typer.Option("--download", help="Fetch it first.")] = False,
    n_speakers: Annotated[int | None, typer.Option(help="Only the first so many.")] = None,
    without: Annotated[
        Path | None,
        typer.Option(help="A list of trials, whose speakers are left out: veri_test2.txt."),
    ] = None,
    resplit: Annotated[bool, typer.Option("--resplit", help="Make a new split.")] = False,
    train_size: Annotated[float | None, typer.Option(help="With --resplit; 0.6.")] = None,
    val_size: Annotated[float | None, typer.Option(help="With --resplit; 0.2.")] = None,
    split_by: Annotated[
        Literal["video", "utterance"] | None, typer.Option(help="With --resplit; video.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="With --resplit; 0.")] = None,
) -> None:
    """Write a manifest of VoxCeleb1's identification split, or of a new one."""
    from voxedge.data.resplit import NewSplit
    from voxedge.data.voxceleb import arrange_voxceleb1

    options = {"train_size": train_size, "val_size": val_size, "split_by": split_by, "seed": seed}
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    if given and not resplit:
        flags = ", ".join("--" + key.replace("_", "-") for key in given)
        raise UsageError(f"{flags} need --resplit")
    report = arrange_voxceleb1(
        dataset_dir,
        n_speakers=n_speakers,
        without=without,
        new_split=NewSplit(**given) if resplit else None,
        download=download,
    )
    sides = ", ".join(f"{count} {side}" for side, count in report.utterances.items())
    console.answer(f"{report.manifest}: {report.speakers} speakers, {sides} utterances")
    if report.missing:
        console.warn(f"{report.missing} listed files are missing, and left out")
    if report.leaking_videos:
        console.warn(f"{report.leaking_videos} videos stand on more than one side of the split")
    console.say(f"next: voxedge train {report.manifest}")


def _show(report: CorpusReport) -> None:
    """What ``voxedge data check`` found."""
    speakers = report["speakers"]
    console.answer(
        f"{printable(report['path'])}: {len(speakers)} speakers, {report['usable']} usable"
        f" clips of {report['clips']}, {report['hours']:.2f} h"
    )
    rates = ", ".join(f"{rate} Hz: {count}" for rate, count in report["rates"].items())
    console.answer(f"  rates    {rates or 'none'}")
    clips = [own["clips"] for own in speakers.values()]
    seconds = [own["seconds"] for own in speakers.values()]
    if speakers:
        console.answer(f"  clips    {min(clips)} to {max(clips)} a speaker")
        console.answer(f"  seconds  {min(seconds):.1f} to {max(seconds):.1f} a speaker")
        several = sum(own["sessions"] > 1 for own in speakers.values())
        console.answer(f"  sessions {several} speakers have several")
    rows = sorted(speakers.items(), key=lambda item: (item[1]["clips"], item[0]))
    console.show_table(
        "speakers, those with the fewest clips first" if len(rows) > _SHOWN else "speakers",
        ["", "clips", "seconds", "sessions"],
        [[name, own["clips"], own["seconds"], own["sessions"]] for name, own in rows[:_SHOWN]],
    )
    left_out = report["left_out"]
    if left_out:
        plural = "s" * (len(left_out) != 1)
        console.answer(f"{len(left_out)} speaker{plural} left out, without a usable clip")
    for speaker, why in left_out.items():
        console.answer(f"  {printable(speaker)}: {printable(why, 300)}")
    for kind in ("problems", "warnings"):
        items = report[kind]
        if items:
            console.answer(f"{len(items)} {kind}")
            counts = Counter(item.get("code", "warning") for item in items)
            console.answer("  " + ", ".join(f"{code}: {n}" for code, n in counts.most_common()))
        for item in items[:_SHOWN]:
            path, message = printable(item["path"]), printable(item["message"])
            console.answer(f"  {path}: {message}")
        if len(items) > _SHOWN:
            console.answer(f"  and {len(items) - _SHOWN} more: --json lists them all")
    if report["ignored"]:
        console.answer(f"{len(report['ignored'])} files are not audio by their ending, and ignored")
    if not report["trainable"]:
        console.warn("two speakers with enough usable clips are needed to train")
