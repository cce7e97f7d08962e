"""Latency over image size, precision, trunk and width, on random weights.

Accuracy over the same is too dear to be trained for each time: ``python -m bench.record`` trains
one of them and keeps what it reaches in bench/records.json.
"""

from __future__ import annotations

from functools import partial

from voxedge.export.passes import PASSES
from voxedge.export.precision import activation_ranges, converted
from voxedge.export.serialise import serialise
from voxedge.export.trace import trace

from bench.alternate import IN_A_ROW, alternate, clocked
from voxedge.audio.windows import Batch
from voxedge.inference.session import open_session
from voxedge.nn.speaker_net import ExportedNet
from voxedge.nn.trunks import TRUNKS
from voxedge.threads import available_processors
from voxedge.train.build import build_net

SIZES = (64, 96, 128, 160, 224)
NETWORKS = (("resnet18", 1.0), ("resnet18", 0.5), ("mobilenet_v3_small", 1.0))  # trunk, width
PRECISIONS = ("fp32", "fp16", "int8")
CALIBRATION = 8  # windows


def test_sizes(benchmark, material, clips, rounds):
    recipe = material.run.recipe()
    rows = slice(CALIBRATION)
    windows = Batch(clips.pcm[rows], clips.lengths[rows], (None,) * CALIBRATION)
    subjects, trials = {}, {}
    for trunk, width, size in compared(recipe.frontend.image_size, material.quick):
        subject = {"trunk": trunk, "width": width, "image_size": size}
        for precision, model in files(recipe, subject, windows).items():
            name = f"{trunk} {width:g} {size} {precision}"
            subjects[name] = subject | {"precision": precision, "file_bytes": len(model)}
            session, _ = open_session(model, "cpu", available_processors())
            run = partial(session.run, ["probabilities"], {"pcm": clips.pcm[:1]})
            trials[name] = clocked(run, IN_A_ROW)
    figures = alternate(benchmark, trials, rounds)
    found = {name: subjects[name] | figure for name, figure in figures.items()}
    benchmark.extra_info.update(suite="sizes", device="cpu", figures=found)


def compared(usual, quick):
    """Trunk, width, image size: a curve for each of NETWORKS; all trunks at the usual size."""
    if quick:
        return [(*NETWORKS[0], SIZES[0])]
    curves = [(*network, size) for network in NETWORKS for size in SIZES]
    everyone = dict.fromkeys([*NETWORKS, *((trunk, 1.0) for trunk in TRUNKS)])
    return list(dict.fromkeys([*curves, *((*network, usual) for network in everyone)]))


def files(recipe, subject, windows):
    """The graph of a recipe with another network, in each precision, serialised."""
    changed = recipe.with_values(
        {
            "model.trunk": subject["trunk"],
            "model.width": subject["width"],
            "model.init": "random",
            "frontend.image_size": subject["image_size"],
        }
    )
    model = trace(ExportedNet(build_net(changed, len(windows.pcm)), 1.0))
    for apply in PASSES:
        apply(model)
    model.ir_version = 10
    ranges = activation_ranges(model, [windows])
    lowered = {precision: converted(model, precision, ranges) for precision in ("fp16", "int8")}
    return {name: serialise(graph) for name, graph in ({"fp32": model} | lowered).items()}
