"""``voxedge evaluate`` and ``voxedge compare``: which clips, which model, and what people see.

Loads no torch unless a run's network itself is measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voxedge import console, stress
from voxedge.data.manifest import Side, read_manifest
from voxedge.errors import CorpusError
from voxedge.evaluation import compare
from voxedge.evaluation.answers import FILE, Model, ask, folder_of
from voxedge.evaluation.measures import measure, read_groups
from voxedge.evaluation.page import render
from voxedge.evaluation.verification import verify
from voxedge.files import write_text
from voxedge.metrics import Interval
from voxedge.parallel import available_processors
from voxedge.runtime import Identifier
from voxedge.train.run import Run, find_run

if TYPE_CHECKING:
    from voxedge.stress import Surroundings

PAGE = "evaluation.html"
_SHOWN = 10


def evaluate_command(
    run: Path | None,
    *,
    model: Path | None,
    data: Path | None,
    split: Side,
    conditions: str,
    noise: Path | None,
    rooms: Path | None,
    groups: Path | None,
    unseen: Path | None,
    out: Path | None,
    device: str,
    batch_size: int,
    workers: int | None,
    as_json: bool,
) -> None:
    """Measure a run's network, or a model file, on a run's split or on any labelled clips."""
    divided = read_groups(groups) if groups else None
    strangers = read_manifest(unseen).clips if unseen else ()
    found = find_run(run or Path("runs")) if run or not data else None
    if found:
        clips = [clip for clip in found.manifest(data).clips if clip.split == split]
    else:
        assert data is not None  # else there would be a run
        clips = [clip for clip in read_manifest(data).clips if clip.split in (None, split)]
    if not clips:
        raise CorpusError(f"there are no {split} clips", "--split says which side is measured")
    measured, subject = _model(found, model, device, batch_size)
    if found:
        info = found.corpus_info()
        subject |= {"data": Path(info["root"]).name, "data_digest": info["digest"]}
    else:
        subject["data"] = str(data)
    subject["split"] = split if clips[0].split else None
    around = _surroundings(noise, rooms, conditions, measured.sample_rate)
    chosen, missing = stress.chosen(conditions, around)
    if missing:
        console.warn(f"left out for want of --noise or --rooms: {', '.join(missing)}")
    if isinstance(measured, Identifier):
        folder = folder_of(measured.artifact.path)
    else:
        assert found  # whose network it is
        folder = folder_of(found.folder)
    folder = out or folder.with_name(folder.name + ("-validation" if split == "validation" else ""))
    with console.Progress("evaluating") as progress:
        evaluation = ask(
            measured,
            clips,
            chosen,
            around,
            subject=subject,
            workers=available_processors() if workers is None else workers,
            progress=progress.update,
        )
    figures = measure(evaluation, divided)
    folder.mkdir(parents=True, exist_ok=True)
    evaluation.write(folder / FILE, figures)  # before strangers, whose folder may be at fault
    if strangers:
        with console.Progress("verifying") as progress:
            figures["verification"] = verify(
                measured,
                strangers,
                workers=available_processors() if workers is None else workers,
                progress=progress.update,
            )
        evaluation.write(folder / FILE, figures)
    write_text(folder / PAGE, render(subject, figures, evaluation.problems))
    for problem in evaluation.problems[:_SHOWN]:
        console.warn(f"{problem['path']}: left out: {problem['message']}")
    if len(evaluation.problems) > _SHOWN:
        console.warn(f"and {len(evaluation.problems) - _SHOWN} more: {folder / FILE} lists them")
    if as_json:
        console.answer(json.dumps({"subject": subject} | figures))
    else:
        _show(subject, figures)
    console.say(f"{folder / PAGE} and {FILE} beside it")


def compare_command(places: Sequence[str], *, as_json: bool, as_markdown: bool) -> None:
    """Lay evaluations side by side, each against the first."""
    result = compare.compare([compare.read_contestant(words) for words in places])
    if result["left_out"]:
        console.warn(f"{result['left_out']} clips are not in all of them, and left out")
    if as_json:
        console.answer(json.dumps(result))
    elif as_markdown:
        console.answer(compare.markdown(result))
    else:
        _show_comparison(result)


def _model(
    run: Run | None, model: Path | None, device: str, batch_size: int
) -> tuple[Model, dict[str, Any]]:
    if run is not None and model is None:
        import torch

        from voxedge.train.trained import TrainedModel

        torch.set_num_threads(available_processors())
        return TrainedModel(run, device, batch_size), {"model": run.folder.name, "kind": "run"}
    identifier = Identifier(model, device=device, batch_size=batch_size)
    for note in identifier.notes:
        console.warn(note)
    metadata = identifier.metadata
    subject = {"model": identifier.artifact.path.name, "kind": "file", "digest": metadata.digest}
    return identifier, subject | {"precision": metadata.precision}


def _surroundings(noise: Path | None, rooms: Path | None, wanted: str, rate: int) -> Surroundings:
    """The half of the noises and rooms that training does not use."""
    stress.chosen(wanted, stress.Surroundings())  # a mistyped name is said before anything loads
    if wanted == "none":
        noise = rooms = None
    return stress.Surroundings(
        stress.load_noises(noise, rate, "evaluation") if noise else (),
        stress.load_rooms(rooms, rate, "evaluation") if rooms else (),
    )


def _show(subject: dict[str, Any], figures: dict[str, Any]) -> None:
    split = f", {subject['split']} split" if subject["split"] else ""
    title = f"{subject['model']} on {subject['data']}{split}: {figures['clips']} clips of"
    show_conditions(f"{title} {figures['speakers']} speakers", figures["conditions"])
    for column, rows in figures["groups"].items():
        _show_parts(f"by {column}", rows)
    _show_parts("by length", figures["by_seconds"])
    if found := figures.get("verification"):
        console.answer(
            f"  unseen speakers: EER {Interval(**found['eer']).percent()}, minDCF"
            f" {found['min_dcf']['value']:.3f} ({found['speakers']}, {found['pairs']} pairs)"
        )
        for shots, row in found["shots"].items():
            clips = "a clip" if shots == "1" else f"{shots} clips"
            console.answer(f"  named after {clips} of each: {Interval(**row).percent()}")
    worst = [row for row in figures["confusions"] if row["answer"]][:_SHOWN]
    if worst:
        console.show_table(
            "most often taken for another",
            ["", "for", "clips", "of"],
            [[row["speaker"], row["answer"], row["clips"], row["of"]] for row in worst],
        )
    strangers = figures["strangers"]
    if strangers["clips"]:
        console.warn(
            f"{strangers['clips']} clips of {strangers['speakers']} speakers that the model does"
            " not know are not in these figures; it gave them a name at"
            f" {100 * strangers['mean_probability']:.0f} % on average"
        )


def show_conditions(title: str, conditions: Mapping[str, Any]) -> None:
    """How often a model is right, clean and under each condition, as ``measure`` gives it."""
    console.show_table(
        title,
        ["", "top-1, 95 % interval", "top-5, 95 % interval", "calibration error"],
        [
            [
                name,
                *(Interval(**row[key]).percent() for key in ("top1", "top5")),
                f"{100 * row['calibration_error']:.1f} %",
            ]
            for name, row in conditions.items()
        ],
    )


def _show_parts(title: str, rows: Sequence[dict[str, Any]]) -> None:
    console.show_table(
        title,
        ["", "clips", "top-1, 95 % interval"],
        [[row["name"], row["clips"], Interval(**row["top1"]).percent()] for row in rows],
    )


def _show_comparison(result: dict[str, Any]) -> None:
    names = [contestant["name"] for contestant in result["contestants"]]
    console.answer(f"{result['clips']} clips of {result['speakers']} speakers; 95 % intervals")
    for condition, rows in result["conditions"].items():
        console.show_table(
            condition,
            ["", "top-1", "top-5", "ECE", "top-1 against the first", "errors"],
            [
                [
                    name,
                    *(Interval(**row[key]).percent() for key in ("top1", "top5")),
                    f"{100 * row['calibration_error']:.1f} %",
                    compare.verdict(row["difference"]["top1"]) if "difference" in row else "",
                    f"x {ratio:.2f}" if (ratio := row.get("errors_ratio")) is not None else "",
                ]
                for name, row in zip(names, rows, strict=True)
            ],
        )
