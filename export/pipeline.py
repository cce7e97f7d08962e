"""The whole way from a run to a file that may be trusted."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from pathlib import Path

import onnx
import onnx_ir as ir
from voxedge.export import parity
from voxedge.export.accuracy import Accuracy, Labelled
from voxedge.export.input_format import InputFormat, agreement, with_device_input
from voxedge.export.passes import PASSES
from voxedge.export.precision import Precision, lower
from voxedge.export.serialise import serialise
from voxedge.export.trace import trace

from voxedge.audio.limits import Limits, Samples
from voxedge.audio.load import load_audio
from voxedge.data.manifest import Clip
from voxedge.errors import AudioError, CorpusError
from voxedge.files import atomic_write
from voxedge.model_file.metadata import KEY, Metadata
from voxedge.model_file.reader import read_model
from voxedge.model_file.seal import seal
from voxedge.nn.speaker_net import ExportedNet
from voxedge.train.build import load_net
from voxedge.train.recipe import Recipe
from voxedge.train.run import Run

_PARITY_CLIPS = 64
_CALIBRATION_CLIPS = 256  # at least, and one of every speaker
_VALIDATION_CLIPS = 2_000  # at most: half a point is 10 of them
_IR_VERSION = 10


@dataclass(frozen=True)
class Exported:
    """What was written."""

    path: Path
    bytes: int
    metadata: Metadata
    parity: list[parity.Row]
    accuracy: Accuracy | None  # of a lower precision, beside float32


def export_run(
    run: Run,
    path: Path,
    *,
    data: Path | None = None,
    licence: str = "",
    precision: Precision = "fp32",
    input_format: InputFormat | None = None,
    say: Callable[[str], None] = lambda _: None,
    passes: tuple[Callable[[ir.Model], bool], ...] = PASSES,
) -> Exported:
    """Write the best network of a finished run as one model file; same run, same bytes.

    Args:
        run: a finished run.
        path: the file to write; an old one stays until the new one has passed.
        data: where the run's corpus lies now, if it moved.
        licence: of the model, for its metadata.
        precision: of the trunk: ``fp32``, ``fp16`` or ``int8``.
        input_format: of the buffer that the file takes; None: mono float32 at the model's rate.
        say: told what is being done.
        passes: graph passes, in order.

    Raises:
        RunError: the run has not ended or is damaged.
        CorpusError: no clip of the run is left to show parity on.
        ParityError: the graph does not compute what was trained, or the precision costs too much
            accuracy; nothing is written.
    """
    metrics, sample_rate = run.metrics(), run.recipe().frontend.sample_rate
    input_format = input_format or InputFormat(sample_rate)
    input_format.check(sample_rate)
    net = ExportedNet(load_net(run), metrics["temperature"]).eval()
    clips = _real_clips(run, data, sample_rate)
    say("tracing the network, front end included")
    model = trace(net)
    for apply in passes:
        apply(model)
    model.ir_version = _IR_VERSION
    model.producer_name, model.producer_version = "voxedge", ""
    say(f"comparing ONNX Runtime with PyTorch on {len(clips)} clips")
    rows = parity.measure(net, serialise(model), clips)
    parity.check(rows)
    accuracy = None
    if precision != "fp32":
        model, accuracy = lower(
            model,
            precision,
            calibration=_calibration_clips(run, data),
            validation=lambda: _validation_clips(run, data),
            window=net.net.frontend.window.samples,
            temperature=net.temperature,
            say=say,
        )
    metadata = _metadata(run, net.net.head.in_features, licence, precision, rows, accuracy)
    if not input_format.is_plain(sample_rate):
        say(f"comparing the device's {input_format.rate} Hz with soxr's resampling")
        plain, window = model, net.net.frontend.window.samples
        model = with_device_input(plain, input_format, sample_rate, window)
        clips = _real_clips(run, data, input_format.rate)
        found = agreement(plain, model, input_format, sample_rate, window, clips)
        metadata = replace(
            metadata,
            sample_rate=input_format.rate,
            input=input_format.described(),
            parity=metadata.parity | {"input": found},
        )
    model.metadata_props[KEY] = metadata.to_json()
    sealed = seal(serialise(model))
    with atomic_write(path) as file:
        file.write(sealed)
    return Exported(path, len(sealed), read_model(path).metadata, rows, accuracy)


def _without_folders(recipe: Recipe) -> dict[str, str]:
    """What was read of the training machine, by its last name: where it lay is nobody's matter."""
    keys = ("model.init", "augment.noise_folder", "augment.rooms_folder")
    return {key: Path(recipe.value(key)).name for key in keys}


def _metadata(
    run: Run,
    width: int,
    licence: str,
    precision: Precision,
    rows: list[parity.Row],
    accuracy: Accuracy | None,
) -> Metadata:
    recipe, metrics = run.recipe(), run.metrics()
    return Metadata(
        labels=run.labels(),
        sample_rate=recipe.frontend.sample_rate,
        window_seconds=recipe.frontend.window_seconds,
        min_seconds=min(Limits().min_seconds, recipe.frontend.window_seconds),
        embedding_dim=width,
        temperature=metrics["temperature"],
        input={"dtype": "float32", "rate": recipe.frontend.sample_rate, "channels": 1},
        frontend=asdict(recipe.frontend),
        precision=precision,
        parity=parity.summary(rows) | ({"accuracy": accuracy.summary()} if accuracy else {}),
        metrics=metrics["test"] or {},
        training={
            "recipe": recipe.with_values(_without_folders(recipe)).to_dict(),
            "data_digest": run.corpus_info()["digest"],
            "clips": run.corpus_info()["clips"],
            "epochs": metrics["epochs"],
            "best_epoch": metrics["best_epoch"],
            "versions": metrics["versions"] | {"onnx": onnx.__version__},
        },
        licence=licence,
    )


def _real_clips(run: Run, data: Path | None, rate: int) -> list[Samples]:
    """Evenly chosen validation and test clips of the run, those that can still be read."""
    clips = [c for c in run.manifest(data).clips if c.split in ("validation", "test")]
    step = max(1, len(clips) // _PARITY_CLIPS)
    decoded = [_decoded(clip, rate) for clip in clips[::step]]
    found = [samples for samples in decoded if samples is not None]
    if not found:
        raise CorpusError("no clip of the run can be read to show parity on", "--data FOLDER")
    return found


def _validation_clips(run: Run, data: Path | None) -> Iterator[Labelled]:
    """Validation clips of the run that can still be read, decoded one at a time."""
    recipe = run.recipe()
    classes = {label: index for index, label in enumerate(run.labels())}
    clips = [clip for clip in run.manifest(data).clips if clip.split == "validation"]
    for clip in clips[:: math.ceil(len(clips) / _VALIDATION_CLIPS)]:
        if (samples := _decoded(clip, recipe.frontend.sample_rate)) is not None:
            yield classes[clip.speaker], samples


def _calibration_clips(run: Run, data: Path | None) -> list[Samples]:
    """Training clips by speaker and name: the first of every speaker, the second, and so on."""
    clips: dict[str, list[Clip]] = defaultdict(list)
    for clip in sorted(run.manifest(data).clips, key=lambda clip: (clip.speaker, clip.name)):
        if clip.split == "train":
            clips[clip.speaker].append(clip)
    found: list[Samples] = []
    for turn in zip_longest(*clips.values()):
        decoded = (_decoded(clip, run.recipe().frontend.sample_rate) for clip in turn if clip)
        found += [samples for samples in decoded if samples is not None]
        if len(found) >= _CALIBRATION_CLIPS:
            break
    return found


def _decoded(clip: Clip, rate: int) -> Samples | None:
    try:
        return load_audio(clip.path, rate)
    except AudioError:
        return None
