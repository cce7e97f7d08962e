"""``voxedge evaluate``: which clips, which model, and what people see of the result.

torch is loaded only where a run's network itself is measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from voxedge.cli import console, options
from voxedge.cli.measures import show
from voxedge.data import sounds
from voxedge.data.clips import Clip, Manifest, Side
from voxedge.data.manifest import read_manifest
from voxedge.data.trials import read_trials
from voxedge.errors import CorpusError, MissingExtra, UsageError
from voxedge.evaluation.answers import FILE, ClipProblem, Subject, ask, best_logit, folder_of
from voxedge.evaluation.conditions import Environment, choose_conditions
from voxedge.evaluation.measures import Measures, measure, read_groups
from voxedge.evaluation.model import Model
from voxedge.evaluation.open_set import SHARES, measure_open_set
from voxedge.evaluation.page import PAGE, render
from voxedge.evaluation.trials import clips_of, verify_trials
from voxedge.evaluation.verification import Verification, has_pairs, require_unseen, verify
from voxedge.files import write_json, write_text
from voxedge.inference.identifier import Identifier
from voxedge.inference.scoring import ClipScores
from voxedge.install import needs_extra
from voxedge.metrics import Interval
from voxedge.threads import available_processors
from voxedge.train.run import Run, find_run

_SHOWN = 10
TRIALS = "trials.json"

app = options.command_app()


@app.command()
def evaluate(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN", help="A run folder, or a folder of runs.", show_default="the latest"
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="A model file to measure, instead of the run's network.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Any labelled corpus, without RUN; with RUN where its corpus lies, if it moved."
        ),
    ] = None,
    split: Annotated[
        Literal["test", "validation"], typer.Option(help="Which side of a split corpus.")
    ] = "test",
    stress: Annotated[
        str, typer.Option(help="Conditions: all, none, or names: noise10,room,opus12,cut1,...")
    ] = "all",
    noise: Annotated[
        Path | None, typer.Option(help="Folder of noises, for noise20 to noise0.")
    ] = None,
    rooms: Annotated[Path | None, typer.Option(help="Folder of impulse responses.")] = None,
    groups: Annotated[
        Path | None, typer.Option(help="CSV with the column speaker, and age, gender, ...")
    ] = None,
    unseen: Annotated[
        Path | None,
        typer.Option(
            help="Clips of people it was not trained on: how often they get a name, and the EER of"
            " embeddings."
        ),
    ] = None,
    trials: Annotated[
        Path | None,
        typer.Option(
            help="Instead of all this: a list of pairs of DATA's clips, '1 A B' or '0 A B', to be"
            " verified."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write to.",
            show_default="evaluation/ in RUN, or MODEL-evaluation/ beside --model",
        ),
    ] = None,
    device: options.Device = "auto",
    batch_size: options.BatchSize = 32,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0, help="Threads that decode and degrade.", show_default="as many as processors"
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Measure a run or a model file: accuracy with intervals, clean and degraded.

    Writes evaluation.json and evaluation.html. Of the noises and rooms only the half is used that
    training does not use.
    """
    if trials:
        if noise or rooms or groups or unseen or split != "test" or stress != "all":
            raise UsageError("--trials are verified as they are: it goes with --data alone")
        _verify_trials(trials, data, run, model, out, device, batch_size, workers, as_json)
        return
    by_group = read_groups(groups) if groups else None
    unseen_corpus = read_manifest(unseen) if unseen else None
    found = find_run(run or options.DEFAULT_RUNS) if run or not data else None
    clips, left_out = _clips(found, data, split)
    measured, subject, folder = _measured(found, model, device, batch_size)
    if found:
        info = found.corpus_info()
        subject |= {"data": Path(info["root"]).name, "data_digest": info["digest"]}
    else:
        subject["data"] = str(data)
    subject["split"] = split if clips[0].split else None
    if unseen_corpus:
        require_unseen(measured, unseen_corpus.clips)
    environment = _environment(noise, rooms, stress, measured.sample_rate)
    conditions, missing = choose_conditions(stress, environment)
    if missing:
        console.warn(f"left out for want of --noise or --rooms: {', '.join(missing)}")
    folder = out or folder.with_name(folder.name + ("-validation" if split == "validation" else ""))
    workers = available_processors() if workers is None else workers
    score, thresholds = _strangers(measured)
    with console.Progress("evaluating") as progress:
        evaluation = ask(
            measured,
            clips,
            conditions,
            environment,
            subject=subject,
            score=score,
            workers=workers,
            progress=progress.update,
        )
    evaluation = replace(evaluation, problems=(*left_out, *evaluation.problems))
    measures = measure(evaluation, by_group)
    folder.mkdir(parents=True, exist_ok=True)
    evaluation.write(folder / FILE, measures)  # kept even if the unseen clips cannot be used
    if unseen_corpus:
        _warn_of(_problems(unseen_corpus), f"voxedge data check {unseen}")
        if has_pairs(unseen_corpus.clips):
            measures["verification"] = _verify(measured, unseen_corpus.clips, workers)
        else:
            console.warn("no EER of embeddings: that takes two clips of each of two people")
        with console.Progress("scoring strangers") as progress:
            strangers = ask(
                measured,
                unseen_corpus.clips,
                conditions,
                environment,
                score=score,
                strangers=True,
                workers=workers,
                progress=progress.update,
            )
        _warn_of(strangers.problems, f"voxedge data check {unseen}")
        evaluation = replace(evaluation, unseen=strangers.records, thresholds=thresholds)
        measures["open_set"] = measure_open_set(evaluation)
        evaluation.write(folder / FILE, measures)
    written = _write_page(folder / PAGE, subject, measures, evaluation.problems)
    _warn_of(evaluation.problems, str(folder / FILE))
    if as_json:
        console.answer(json.dumps({"subject": subject, **measures}))
    else:
        show(subject, measures)
    console.say(f"{folder / PAGE} and {FILE} beside it" if written else str(folder / FILE))


def _verify_trials(
    listed: Path,
    data: Path | None,
    run: Path | None,
    model: Path | None,
    out: Path | None,
    device: str,
    batch_size: int,
    workers: int | None,
    as_json: bool,
) -> None:
    """``--trials``: the error rates of a list of pairs.

    Raises:
        UsageError: there is no ``--data``.
    """
    if data is None:
        raise UsageError("--trials are pairs of clips of --data", f"--trials {listed} --data wav/")
    trials = read_trials(listed)
    clips = clips_of(trials, read_manifest(data).clips)
    found = find_run(run) if run else None
    measured, subject, folder = _measured(found, model, device, batch_size, names=False)
    subject |= {"data": str(data), "split": None}
    workers = available_processors() if workers is None else workers
    with console.Progress("verifying") as progress:
        scores, measures = verify_trials(
            measured, trials, clips, workers=workers, progress=progress.update
        )
    folder = out or folder
    folder.mkdir(parents=True, exist_ok=True)
    result = {"subject": subject, "list": listed.name, **measures}
    write_json(folder / TRIALS, {**result, "scores": [round(float(x), 6) for x in scores]})
    if as_json:
        console.answer(json.dumps(result))
    else:
        console.answer(
            f"{subject['model']} on {listed.name}: EER {Interval(**measures['eer']).percent()},"
            f" minDCF {measures['min_dcf']['value']:.3f} ({measures['trials']} pairs of"
            f" {measures['clips']} clips, {measures['speakers']} speakers)"
        )
    console.say(str(folder / TRIALS))


def _verify(model: Model, clips: Sequence[Clip], workers: int) -> Verification:
    with console.Progress("verifying") as progress:
        return verify(model, clips, workers=workers, progress=progress.update)


def _write_page(
    path: Path, subject: Subject, measures: Measures, problems: Sequence[ClipProblem]
) -> bool:
    """Write the page if it can be rendered here: a device may lack the template engine."""
    try:
        page = render(subject, measures, problems)
    except MissingExtra as error:
        console.warn(f"no {path.name} is written: {error}")
        return False
    write_text(path, page)
    return True


def _clips(
    run: Run | None, data: Path | None, split: Side
) -> tuple[Sequence[Clip], list[ClipProblem]]:
    """One side of a run's clips; without a run those of ``data``, or one side of it.

    Also what is left out of ``data`` because it cannot be read.
    """
    sides: set[Side | None] = {split}
    if run:
        manifest = run.manifest(data)
    else:
        assert data is not None  # else there would be a run
        manifest = read_manifest(data)
        sides.add(None)
    clips = [clip for clip in manifest.clips if clip.split in sides]
    if not clips:
        raise CorpusError(f"there are no {split} clips", "--split says which side is measured")
    return clips, _problems(manifest)


def _problems(manifest: Manifest) -> list[ClipProblem]:
    return [
        {"path": problem.clip.name, "code": problem.code, "message": problem.message}
        for problem in manifest.problems
    ]


def _warn_of(problems: Sequence[ClipProblem], where: str) -> None:
    """Name the first clips that are left out; ``where`` lists all."""
    for problem in problems[:_SHOWN]:
        console.warn(f"{problem['path']}: left out: {problem['message']}")
    if len(problems) > _SHOWN:
        console.warn(f"and {len(problems) - _SHOWN} more: {where} lists them")


def _measured(
    run: Run | None, model: Path | None, device: str, batch_size: int, names: bool = True
) -> tuple[Model, Subject, Path]:
    """What is measured, its description, and the folder that its evaluation belongs to.

    With ``names``, it must know some.
    """
    if run is not None and model is None:
        with needs_extra("train"):
            import torch

            from voxedge.train.trained import TrainedModel

        torch.set_num_threads(available_processors())
        subject: Subject = {"model": run.folder.name, "kind": "run"}
        return TrainedModel(run, device, batch_size), subject, folder_of(run.folder)
    identifier = Identifier(model, device=device, batch_size=batch_size)
    if names:
        identifier.require_speakers()
    for note in identifier.notes:
        console.warn(note)
    path, metadata = identifier.model_file.path, identifier.metadata
    subject = {
        "model": path.name,
        "kind": "file",
        "digest": metadata.digest,
        "precision": metadata.precision,
    }
    return identifier, subject, folder_of(path)


def _strangers(
    model: Model,
) -> tuple[Callable[[ClipScores[Any], float], float], dict[str, float | None]]:
    """What tells strangers, and the thresholds of a model file."""
    answers = model.answers if isinstance(model, Identifier) else None
    if answers is None or answers.open_set is None:
        return best_logit, {}
    stated = {f"{share:g}": answers.open_set.threshold(share) for share in SHARES}
    return answers.log_odds, stated


def _environment(noise: Path | None, rooms: Path | None, wanted: str, rate: int) -> Environment:
    """The half of the noises and rooms that training does not use."""
    choose_conditions(wanted, Environment())  # a mistyped name is refused before anything loads
    if wanted == "none":
        noise = rooms = None
    return Environment(
        sounds.load_noises(noise, rate, "evaluation") if noise else (),
        sounds.load_rooms(rooms, rate, "evaluation") if rooms else (),
    )
