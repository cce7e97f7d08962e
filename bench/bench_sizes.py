"""Latency over the size of the image, the precision and the trunk, on random weights.

Accuracy over the same is too dear to be trained for each time: ``python -m bench.record`` trains
one size and keeps what it reaches in bench/records.json.
"""

from __future__ import annotations

from functools import partial

from voxedge.export.lower import activation_ranges, converted
from voxedge.export.passes import PASSES
from voxedge.export.serialise import serialise
from voxedge.export.trace import trace

from bench.alternate import alternate, clocked
from voxedge.nn.speaker_net import ExportedNet
from voxedge.parallel import available_processors
from voxedge.session import open_session
from voxedge.train.build import build_net
from voxedge.windows import Batch

SIZES = (64, 96, 128, 160, 224)
TRUNKS = ("resnet18", "mobilenet_v3_small")
PRECISIONS = ("fp32", "fp16", "int8")
CALIBRATION = 8  # windows


def test_sizes(benchmark, material, clips, rounds):
    trunks, sizes = (TRUNKS[:1], SIZES[:1]) if material.quick else (TRUNKS, SIZES)
    subjects = [(trunk, size) for trunk in trunks for size in sizes]
    rows = slice(CALIBRATION)
    windows = Batch(clips.pcm[rows], clips.lengths[rows], (None,) * CALIBRATION)
    made = {
        f"{trunk} {size} {precision}": model
        for trunk, size in subjects
        for precision, model in files(material.run.recipe(), trunk, size, windows).items()
    }
    trials = {}
    for name, model in made.items():
        session, _ = open_session(model, "cpu", available_processors())
        run = partial(session.run, ["probabilities"], {"pcm": clips.pcm[:1]})
        trials[name] = clocked(run, warm=True)
    figures = alternate(benchmark, trials, rounds)
    for name, figure in figures.items():
        trunk, size, precision = name.split()
        figure |= {"trunk": trunk, "image_size": int(size), "precision": precision}
        figure["file_bytes"] = len(made[name])
    benchmark.extra_info.update(suite="sizes", device="cpu", figures=figures)


def files(recipe, trunk, size, windows):
    """The graph of a recipe with another trunk and image size, in each precision, serialised."""
    changed = recipe.with_values(
        {"model.trunk": trunk, "model.init": "random", "frontend.image_size": size}
    )
    model = trace(ExportedNet(build_net(changed, len(windows.pcm)), 1.0))
    for apply in PASSES:
        apply(model)
    model.ir_version = 10
    ranges = activation_ranges(model, [windows])
    lowered = {precision: converted(model, precision, ranges) for precision in ("fp16", "int8")}
    return {name: serialise(graph) for name, graph in ({"fp32": model} | lowered).items()}
