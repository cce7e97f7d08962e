"""The command line: each command is a thin typed function, its docstring the help.

torch, onnx and matplotlib are imported inside the commands that need them, so that ``identify``
starts in the time that ONNX Runtime takes. Errors become exit codes here and nowhere else.
"""

from __future__ import annotations

import glob
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import voxedge
from voxedge import console, usage
from voxedge.errors import (
    Interrupted,
    MissingExtra,
    SomeFilesFailed,
    UsageError,
    VoxedgeError,
)

if TYPE_CHECKING:
    from voxedge.train.recipe import Recipe

_DEBUG, _VERSION = "--debug", "--version"

app = usage.Group(
    "voxedge",
    "Train a speaker identifier on your own recordings; run it as one ONNX file.",
    {_VERSION: "Show the version.", _DEBUG: "Show tracebacks; goes anywhere."},
)

Json = Annotated[bool, usage.Option("--json", help="One JSON object a line, on stdout.")]


@app.command
def train(
    data: Annotated[Path, usage.Argument(help="DATA/<speaker>/**/<clip>, or a CSV.")] = Path(
        "data"
    ),
    recipe: Annotated[
        str | None, usage.Option(help="A recipe that ships, or a TOML file; else default.")
    ] = None,
    settings: Annotated[
        list[str] | None, usage.Option("--set", help="Any recipe value: section.key=value.")
    ] = None,
    runs: Annotated[Path, usage.Option(help="Where run folders go.")] = Path("runs"),
    resume: Annotated[
        bool, usage.Option("--resume", help="Go on with a run (DATA: its folder; else the latest).")
    ] = False,
    epochs: Annotated[int | None, usage.Option(help="Passes over the training clips.")] = None,
    batch_size: Annotated[int | None, usage.Option(help="Clips of a step.")] = None,
    image_size: Annotated[int | None, usage.Option(help="Pixels of a side of the image.")] = None,
    speakers: Annotated[int | None, usage.Option(help="Only the first so many.")] = None,
    train_size: Annotated[float | None, usage.Option(help="Fraction to train on.")] = None,
    val_size: Annotated[float | None, usage.Option(help="Fraction to validate on.")] = None,
    loss: Annotated[
        Literal["cross-entropy", "center"] | None,
        usage.Option(help="Cross-entropy alone, or with the contrastive-center loss."),
    ] = None,
    center_form: Annotated[
        Literal["paper", "seed", "split"] | None, usage.Option(help="Of the center loss.")
    ] = None,
    center_weight: Annotated[float | None, usage.Option(help="Of the center loss.")] = None,
    center_optimizer: Annotated[
        Literal["adagrad", "adam", "sgd"] | None, usage.Option(help="What moves the centers.")
    ] = None,
    center_learning_rate: Annotated[float | None, usage.Option(help="Of the centers.")] = None,
    optimizer: Annotated[
        Literal["adam", "adamw", "sgd"] | None, usage.Option(help="What moves the network.")
    ] = None,
    learning_rate: Annotated[float | None, usage.Option(help="Of the network.")] = None,
    beta1: Annotated[float | None, usage.Option(help="Of Adam; momentum of SGD.")] = None,
    beta2: Annotated[float | None, usage.Option(help="Of Adam.")] = None,
    epsilon: Annotated[float | None, usage.Option(help="Of Adam.")] = None,
    step_size: Annotated[int | None, usage.Option(help="Epochs between two decays.")] = None,
    gamma: Annotated[float | None, usage.Option(help="Factor of a decay.")] = None,
    init: Annotated[
        str | None,
        usage.Option(help="First weights: random, imagenet, a run, a model or weights FILE."),
    ] = None,
    seed: Annotated[int | None, usage.Option(help="Of weights, order and augmentation.")] = None,
    device: Annotated[str, usage.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, usage.Option(help="auto, fp32 or bf16.")] = "auto",
    workers: Annotated[int | None, usage.Option(help="Threads that decode.")] = None,
    memory: Annotated[int, usage.Option(help="MiB of decoded audio to hold.")] = 2048,
    strict: Annotated[bool, usage.Option(help="Stop at the first clip that is unusable.")] = False,
    moved: Annotated[
        Path | None, usage.Option("--data", help="With --resume: the corpus, if it moved.")
    ] = None,
) -> None:
    """Train on folders of clips: DATA/<speaker>/<clip>. Clips are split 60/20/20 by default.

    Ctrl-C saves; `voxedge train --resume` goes on. Bad clips are named and left out.
    """
    from voxedge.train import recipe as recipes

    chosen = None if resume else recipes.load(recipe or "default")
    flags = {
        "data.speakers": speakers,
        "data.train_size": train_size,
        "data.val_size": val_size,
        "frontend.image_size": image_size,
        "model.init": init,
        "loss.center": _center_form(loss, center_form, chosen),
        "loss.center_weight": center_weight,
        "optimizer.name": optimizer,
        "optimizer.learning_rate": learning_rate,
        "optimizer.beta1": beta1,
        "optimizer.beta2": beta2,
        "optimizer.epsilon": epsilon,
        "optimizer.step_size": step_size,
        "optimizer.gamma": gamma,
        "optimizer.center_optimizer": center_optimizer,
        "optimizer.center_learning_rate": center_learning_rate,
        "training.epochs": epochs,
        "training.batch_size": batch_size,
        "training.seed": seed,
    }
    changes = {key: value for key, value in flags.items() if value is not None}
    changes |= recipes.parse_settings(settings or [])
    if resume and (recipe or set(changes) - {"training.epochs"}):
        raise UsageError("--resume goes on with the run's own recipe; only --epochs may change")
    if moved and not resume:
        raise UsageError("--data goes with --resume", "voxedge train DATA")
    if chosen is not None:
        chosen = chosen.with_values(changes)
        _refuse_idle(changes, chosen)
    with _extra("train"):
        from voxedge.train import command

    command.train_command(
        data,
        chosen,
        runs=runs,
        epochs=epochs,
        device=device,
        precision=precision,
        workers=workers,
        memory=memory << 20,
        strict=strict,
        moved=moved,
    )


@app.command
def tune(
    data: Annotated[Path, usage.Argument(help="DATA/<speaker>/**/<clip>, or a CSV.")] = Path(
        "data"
    ),
    recipe: Annotated[str, usage.Option(help="What to begin from.")] = "default",
    settings: Annotated[
        list[str] | None, usage.Option("--set", help="Any recipe value: section.key=value.")
    ] = None,
    search: Annotated[
        list[str] | None,
        usage.Option(help="Search this too: section.key=low:high[:log], or section.key=a,b,c."),
    ] = None,
    out: Annotated[Path, usage.Option(help="Folder of the study; goes on where it was.")] = Path(
        "tune"
    ),
    trials: Annotated[int, usage.Option(min=1, help="In all, earlier calls included.")] = 20,
    hours: Annotated[
        float | None, usage.Option(min=0, help="Begin no trial after so many, likewise.")
    ] = None,
    device: Annotated[str, usage.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str, usage.Option(help="auto, fp32 or bf16.")] = "auto",
    workers: Annotated[int | None, usage.Option(help="Threads that decode.")] = None,
    memory: Annotated[int, usage.Option(help="MiB of decoded audio to hold.")] = 2048,
    strict: Annotated[bool, usage.Option(help="Stop at the first clip that is unusable.")] = False,
) -> None:
    """Search for the recipe that validates best; by default optimisers, rates and loss weight.

    Ctrl-C keeps what is done; the same command goes on. Writes OUT/best.toml for train --recipe.
    """
    from voxedge.train import recipe as recipes

    chosen = recipes.load(recipe).with_values(recipes.parse_settings(settings or []))
    with _extra("tune"):
        from voxedge.train.tune import tune_command

    tune_command(
        data,
        chosen,
        search or [],
        out=out,
        trials=trials,
        hours=hours,
        device=device,
        precision=precision,
        workers=workers,
        memory=memory << 20,
        strict=strict,
    )


def _center_form(loss: str | None, form: str | None, recipe: Recipe | None) -> str | None:
    if loss == "cross-entropy":
        if form:
            raise UsageError("--center-form needs --loss center")
        return "none"
    if form or loss is None or recipe is None:
        return form
    return "paper" if recipe.loss.center == "none" else recipe.loss.center


def _refuse_idle(changes: dict[str, Any], recipe: Recipe) -> None:
    """A value that would do nothing is a misunderstanding, and better said than kept quiet."""
    idle = {
        "optimizer.schedule=step": ("optimizer.step_size", "optimizer.gamma"),
        "loss.center=paper": (
            *("loss.center_weight", "loss.center_unit", "loss.center_warm_up"),
            *("optimizer.center_optimizer", "optimizer.center_learning_rate"),
        ),
        "loss.center=split": ("loss.intra_weight", "loss.inter_weight"),
        "loss.center=paper or split": ("loss.delta",),
        "optimizer.name=adam": ("optimizer.beta2", "optimizer.epsilon"),
        "loss.head=cosine": ("loss.scale",),
        "model.statistics=true": ("loss.parts",),
        "augment.noise=0.5": ("augment.snr_low", "augment.snr_high", "augment.noise_folder"),
        "augment.rooms=0.5": ("augment.rooms_folder",),
    }
    used = {
        "optimizer.schedule=step": recipe.optimizer.schedule == "step",
        "loss.center=paper": recipe.loss.center != "none",
        "loss.center=split": recipe.loss.center == "split",
        "loss.center=paper or split": recipe.loss.center in ("paper", "split"),
        "optimizer.name=adam": recipe.optimizer.name != "sgd",
        "loss.head=cosine": recipe.loss.head == "cosine",
        "model.statistics=true": recipe.model.statistics,
        "augment.noise=0.5": recipe.augment.noise > 0,
        "augment.rooms=0.5": recipe.augment.rooms > 0,
    }
    for needed, keys in idle.items():
        for key in keys:
            if key in changes and not used[needed]:
                raise UsageError(f"{key} would do nothing in this recipe", f"--set {needed}?")


@app.command
def export(
    model: Annotated[Path, usage.Argument(help="The file to write.")] = Path("model.onnx"),
    run: Annotated[Path, usage.Option(help="A run folder, or a folder of runs.")] = Path("runs"),
    data: Annotated[Path | None, usage.Option(help="Where the corpus lies, if it moved.")] = None,
    licence: Annotated[str, usage.Option(help="Of the model, for its metadata.")] = "",
    precision: Annotated[
        Literal["fp32", "fp16", "int8"],
        usage.Option(help="int8: a quarter of the size, faster on a CPU; fp16: for GPUs."),
    ] = "fp32",
    input_rate: Annotated[
        int | None, usage.Option(help="Hz of the device's buffer; the file resamples it.")
    ] = None,
    input_type: Annotated[
        Literal["float32", "int16"], usage.Option(help="Of the device's buffer.")
    ] = "float32",
    input_channels: Annotated[
        int, usage.Option(help="Of the device's buffer, interleaved; the file takes their mean.")
    ] = 1,
    ort: Annotated[
        bool,
        usage.Option("--ort", help="Also for minimal builds: .ort, and the operators it needs."),
    ] = False,
) -> None:
    """Write the best network of a run as ONE file: samples in, names out.

    Nothing is written unless ONNX Runtime computes what PyTorch does, nor if int8 or fp16 loses
    more than 0.5 points of top-1 or 0.3 of top-5 on the validation clips.
    """
    with _extra("export"):
        from voxedge.export.device import Device
        from voxedge.export.pipeline import export_run
        from voxedge.train.run import find_run

    if model.is_dir():
        raise UsageError(f"{model} is a folder", "name a file: voxedge export model.onnx")
    if not model.parent.is_dir():
        raise UsageError(f"there is no folder {model.parent}")
    chosen = find_run(run)
    console.say(f"exporting {chosen.folder}")
    done = export_run(
        chosen,
        model,
        data=data,
        licence=licence,
        precision=precision,
        device=Device(
            input_rate or chosen.recipe().frontend.sample_rate, input_type, input_channels
        ),
        say=console.say,
    )
    console.show_table(
        "parity with PyTorch",
        ["", "windows", "logits", "probabilities", "embedding", "top-1", "top-5"],
        [
            [
                row.case,
                row.rows,
                f"{row.logits:.1e}",
                f"{row.probabilities:.1e}",
                f"{row.embedding:.1e}",
                f"{row.top1:.1%}",
                f"{row.top5:.1%}",
            ]
            for row in done.parity
        ],
    )
    if done.accuracy is not None:
        console.show_accuracy(done.metadata.parity["accuracy"], precision)
    console.answer(f"{model}: {len(done.metadata.labels)} speakers, {done.bytes / 1e6:.1f} MB")
    if ort:
        from voxedge.export.ort_format import write_ort

        console.answer(" and ".join(path.name for path in write_ort(model)))
    console.say(f"next: voxedge identify CLIP{_model_flag(model)}")


def _model_flag(model: Path) -> str:
    from voxedge.runtime import DEFAULT_MODEL

    return "" if str(model) == DEFAULT_MODEL else f" --model {model}"


@app.command
def identify(
    paths: Annotated[list[str], usage.Argument(help="Files, folders, globs; - for stdin.")],
    model: Annotated[
        str | None, usage.Option(help="Model file; else $VOXEDGE_MODEL, else model.onnx.")
    ] = None,
    top_k: Annotated[int, usage.Option(min=1, help="Guesses to show.")] = 5,
    batch_size: Annotated[int, usage.Option(min=1, help="Windows computed together.")] = 8,
    device: Annotated[str, usage.Option(help="auto, cpu, cuda, tensorrt, openvino, ...")] = "auto",
    windows: Annotated[
        Literal["all", "first"], usage.Option(help="Average over a long clip, or take its start.")
    ] = "all",
    threads: Annotated[int | None, usage.Option(min=1, help="That compute; else all.")] = None,
    max_seconds: Annotated[float, usage.Option(help="Of one clip that are used.")] = 3600.0,
    min_seconds: Annotated[float, usage.Option(help="Shorter clips are refused.")] = 0.25,
    min_rate: Annotated[int, usage.Option(help="Hz; files below are refused.")] = 4_000,
    max_rate: Annotated[int, usage.Option(help="Hz; files above are refused.")] = 384_000,
    max_channels: Annotated[int, usage.Option(help="Files with more are refused.")] = 32,
    max_bytes: Annotated[
        int, usage.Option(help="Larger files are refused; stdin is held in memory up to this.")
    ] = 1 << 30,
    strict: Annotated[bool, usage.Option(help="Refuse clips that are cut off.")] = False,
    as_json: Json = False,
) -> int:
    """Say who speaks in each clip."""
    from voxedge.limits import Limits
    from voxedge.runtime import Failure, Identifier

    identifier = Identifier(
        model,
        device=device,
        threads=threads,
        batch_size=batch_size,
        limits=Limits(
            min_rate, max_rate, max_channels, max_seconds, max_bytes, min_seconds=min_seconds
        ),
        strict=strict,
    )
    for note in identifier.notes:
        console.warn(note)
    good, failed, worst = 0, 0, 0
    sources = _sources(paths, max_bytes)
    for result in identifier.identify_many(sources, top_k=top_k, windows=windows):
        if as_json:
            console.answer(json.dumps(result.to_dict()))
        elif isinstance(result, Failure):
            console.show_failure(result)
        else:
            console.show_prediction(result)
        if isinstance(result, Failure):
            failed += 1
            worst = max(worst, result.error.exit_code)
        else:
            good += 1
            for warning in result.warnings:
                console.warn(f"{result.path}: {warning}")
    if failed and good:
        raise SomeFilesFailed(f"{failed} of {good + failed} clips have no answer")
    return worst


def _sources(paths: list[str], max_bytes: int) -> Iterator[str | bytes]:
    """Folders are searched for audio, patterns are expanded, ``-`` is read from stdin."""
    for path in paths:
        if path == "-":
            if sys.stdin is None:
                raise UsageError("- stands for stdin, which is closed")
            yield sys.stdin.buffer.read(max_bytes + 1)
        elif os.path.isdir(path):  # noqa: PTH112 - names may hold any bytes
            found = _clips_in(path)
            first = next(found, None)
            if first is None:
                console.warn(f"{path} holds no audio files")
            yield first or path
            yield from found
        elif not os.path.lexists(path) and glob.has_magic(path):
            matched = sorted(glob.glob(path, recursive=True))  # noqa: PTH207
            yield from _sources(matched, max_bytes) if matched else [path]
        else:
            yield path


def _clips_in(folder: str) -> Iterator[str]:
    """Audio files of a folder and those below, in the order of their paths, listed as they come."""
    from voxedge.audio import SUFFIXES

    names = []
    try:
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                names.append(entry.name + os.sep)
            elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:  # noqa: PTH122
                names.append(entry.name)
    except OSError:  # not allowed to look into it
        return
    for name in sorted(names):
        path = os.path.join(folder, name)  # noqa: PTH118
        if name.endswith(os.sep):
            yield from _clips_in(path[: -len(os.sep)])
        elif not (os.path.islink(path) and os.path.isdir(path)):  # noqa: PTH112, PTH114
            yield path  # a link to a folder may lead in a circle


@app.command
def evaluate(
    run: Annotated[
        Path | None, usage.Argument(help="A run folder, or a folder of runs; else the latest.")
    ] = None,
    model: Annotated[
        Path | None, usage.Option(help="A model file to measure, instead of the run's network.")
    ] = None,
    data: Annotated[
        Path | None,
        usage.Option(
            help="Any labelled folder or CSV, without RUN; with RUN where its corpus lies, if it"
            " moved."
        ),
    ] = None,
    split: Annotated[
        Literal["test", "validation"], usage.Option(help="Which side of a split corpus.")
    ] = "test",
    conditions: Annotated[
        str, usage.Option("--stress", help="all, none, or names: noise10,room,opus12,cut1,...")
    ] = "all",
    noise: Annotated[Path | None, usage.Option(help="Folder of noises, for noise20 to 0.")] = None,
    rooms: Annotated[Path | None, usage.Option(help="Folder of impulse responses.")] = None,
    groups: Annotated[
        Path | None, usage.Option(help="CSV with the column speaker, and age, gender, ...")
    ] = None,
    unseen: Annotated[
        Path | None, usage.Option(help="Clips of people it was not trained on: EER of embeddings.")
    ] = None,
    out: Annotated[
        Path | None,
        usage.Option(
            help="Folder to write to; else evaluation/ in RUN, or MODEL-evaluation/ beside --model."
        ),
    ] = None,
    device: Annotated[str, usage.Option(help="auto, cpu, cuda, ...")] = "auto",
    batch_size: Annotated[int, usage.Option(min=1, help="Windows computed together.")] = 32,
    workers: Annotated[
        int | None, usage.Option(min=0, help="Threads that decode and spoil clips.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a run or a model file: accuracy with intervals, clean and under stress.

    Writes evaluation.json and evaluation.html. Only half of the noises and rooms is used; training
    may use the other half.
    """
    with _extra("train"):
        from voxedge.evaluation import command

        command.evaluate_command(
            run,
            model=model,
            data=data,
            split=split,
            conditions=conditions,
            noise=noise,
            rooms=rooms,
            groups=groups,
            unseen=unseen,
            out=out,
            device=device,
            batch_size=batch_size,
            workers=workers,
            as_json=as_json,
        )


@app.command
def compare(
    places: Annotated[
        list[str],
        usage.Argument(
            metavar="RUN...",
            help="Runs, or evaluation.json files; A,B,C is the mean of three; NAME=RUN names it.",
        ),
    ],
    as_json: Json = False,
    as_markdown: Annotated[
        bool, usage.Option("--markdown", help="A table for a document.")
    ] = False,
) -> None:
    """Lay evaluated runs side by side, each against the first: a difference, or chance?"""
    from voxedge.evaluation import command

    if as_json and as_markdown:
        raise UsageError("--json or --markdown, not both")
    command.compare_command(places, as_json=as_json, as_markdown=as_markdown)


@app.command
def doctor(
    model: Annotated[
        str | None,
        usage.Option(help="Model file to measure; else $VOXEDGE_MODEL, else model.onnx."),
    ] = None,
    seconds: Annotated[float, usage.Option(min=0.1, help="To measure for.")] = 5.0,
    as_json: Json = False,
) -> None:
    """Say what this machine has: processor, runtime, providers, latency; and one advice."""
    from voxedge.doctor import examine
    from voxedge.runtime import default_model

    chosen = model or default_model()
    facts = examine(chosen if model or os.path.exists(chosen) else None, seconds)  # noqa: PTH110
    if as_json:
        console.answer(json.dumps(facts))
    else:
        console.show_machine(facts)


@app.command
def inspect(
    model: Annotated[str | None, usage.Argument(help="The model file.")] = None,
    as_json: Json = False,
) -> None:
    """Show what a model file says of itself: names, rates, parity, metrics, origin."""
    from voxedge import artifact
    from voxedge.runtime import DEFAULT_MODEL, MODEL_VARIABLE

    read = artifact.read(model or os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL)
    facts: dict[str, Any] = json.loads(read.metadata.to_json())
    facts |= {"path": str(read.path), "bytes": read.size}
    facts |= {"opset": read.opset, "ir_version": read.ir_version}
    if as_json:
        console.answer(json.dumps(facts))
        return
    console.show_model(facts)


data_app = app.group("data", "Look at corpora, and prepare them.")


@data_app.command
def check(
    data: Annotated[Path, usage.Argument(help="DATA/<speaker>/**/<clip>, or a CSV.")] = Path(
        "data"
    ),
    min_clips: Annotated[int, usage.Option(min=1, help="Clips a speaker needs.")] = 3,
    as_json: Json = False,
) -> int:
    """List speakers, clips, hours, rates and sessions, and what is wrong with a corpus."""
    from voxedge.data.check import check_corpus

    with console.Progress("decoding") as progress:
        report = check_corpus(data, min_clips, progress.update)
    if as_json:
        console.answer(json.dumps(report))
    else:
        console.show_corpus(report)
    return SomeFilesFailed.exit_code if report["problems"] else 0


@data_app.command
def voxceleb1(
    dataset_dir: Annotated[Path, usage.Option(help="Holds wav/ and iden_split.txt.")],
    download: Annotated[bool, usage.Option("--download", help="Fetch it first.")] = False,
    n_speakers: Annotated[int | None, usage.Option(help="Only the first so many.")] = None,
    resplit: Annotated[bool, usage.Option("--resplit", help="Make a new split.")] = False,
    train_size: Annotated[float | None, usage.Option(help="With --resplit; 0.6.")] = None,
    val_size: Annotated[float | None, usage.Option(help="With --resplit; 0.2.")] = None,
    split_by: Annotated[
        Literal["video", "utterance"] | None, usage.Option(help="With --resplit; video.")
    ] = None,
    seed: Annotated[int | None, usage.Option(help="With --resplit; 0.")] = None,
) -> None:
    """Write a manifest of VoxCeleb1's identification split, or of a new one."""
    from voxedge.data.voxceleb import arrange_voxceleb1

    options = {"train_size": train_size, "val_size": val_size, "split_by": split_by, "seed": seed}
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    if given and not resplit:
        flags = ", ".join("--" + key.replace("_", "-") for key in given)
        raise UsageError(f"{flags} need --resplit")
    report = arrange_voxceleb1(
        dataset_dir, n_speakers=n_speakers, resplit=resplit, download=download, **given
    )
    sides = ", ".join(f"{count} {side}" for side, count in report.utterances.items())
    console.answer(f"{report.manifest}: {report.speakers} speakers, {sides} utterances")
    if report.missing:
        console.warn(f"{report.missing} listed files are missing, and left out")
    if report.leaking_videos:
        console.warn(f"{report.leaking_videos} videos stand on more than one side of the split")
    console.say(f"next: voxedge train {report.manifest}")


class _extra:  # noqa: N801 - reads as a statement
    """``with _extra("train"):`` around imports that the device install does not have."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("voxedge"):
            raise MissingExtra(
                f"this command needs {error.name}", f"pip install 'voxedge[{self._name}]'"
            ) from error


def main() -> NoReturn:
    """Run the command line and leave with the exit code of docs/design.md."""
    sys.exit(_run())


def _run() -> int:
    arguments = sys.argv[1:]
    debug = _DEBUG in arguments
    signal.signal(signal.SIGTERM, _terminate)
    try:
        if _VERSION in arguments[:1]:
            console.answer(voxedge.__version__)
            return 0
        return app.run([word for word in arguments if word != _DEBUG])
    except VoxedgeError as error:
        if debug:
            raise
        if isinstance(error, Interrupted):
            console.say(str(error))
            return error.status
        console.complain(error)
        return error.exit_code
    except KeyboardInterrupt:
        console.say("stopped")
        return 130
    except OSError as error:  # a full disk, a read-only folder
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        console.complain(VoxedgeError(f"{where}{error.strerror or error}"))
        return VoxedgeError.exit_code
    except Exception as error:
        if debug:
            raise
        kind = type(error).__name__
        console.say(f"internal error: {kind}: {console.printable(str(error), 500)}")
        console.say("  run it again as: voxedge --debug ...")
        return VoxedgeError.exit_code


def _terminate(signum: int, _frame: object) -> NoReturn:
    raise Interrupted(signum, "terminated")
