"""Latency over image size, precision, trunk and width, on random weights.

Accuracy takes a training each, too long for every run: ``python -m bench.record`` trains one of
these networks, and keeps its accuracy in bench/records.json.
"""

from __future__ import annotations

from functools import partial

from voxedge.export.passes import PASSES
from voxedge.export.precision import activation_ranges, convert_precision
from voxedge.export.serialise import serialise
from voxedge.export.trace import trace

from bench.alternate import IN_A_ROW, alternate, timed
from voxedge.audio.windows import Batch
from voxedge.inference.session import open_session
from voxedge.nn.speaker_net import ExportedNet
from voxedge.nn.trunks import TRUNKS
from voxedge.threads import available_processors
from voxedge.train.build import build_net

SIZES = (64, 96, 128, 160, 224)
NETWORKS = (("resnet18", 1.0), ("resnet18", 0.5), ("mobilenet_v3_small", 1.0))  # trunk, width
CALIBRATION = 8  # windows


def test_sizes(benchmark, prepared, windows, rounds):
    recipe = prepared.run.recipe()
    rows = slice(CALIBRATION)
    calibration = Batch(windows.pcm[rows], windows.lengths[rows], (None,) * CALIBRATION)
    networks, trials = {}, {}
    for trunk, width, size in networks_and_sizes(recipe.frontend.image_size, prepared.quick):
        network = {"trunk": trunk, "width": width, "image_size": size}
        for precision, model in export_random(recipe, network, calibration).items():
            name = f"{trunk} {width:g} {size} {precision}"
            networks[name] = network | {"precision": precision, "file_bytes": len(model)}
            session, _ = open_session(model, "cpu", available_processors())
            run = partial(session.run, ["probabilities"], {"pcm": windows.pcm[:1]})
            trials[name] = timed(run, IN_A_ROW)
    timings = alternate(benchmark, trials, rounds)
    figures = {name: networks[name] | timing for name, timing in timings.items()}
    benchmark.extra_info.update(suite="sizes", device="cpu", figures=figures)


def networks_and_sizes(usual_size, quick):
    """Trunk, width, size: each of NETWORKS at each of SIZES, and all trunks at the usual size."""
    if quick:
        return [(*NETWORKS[0], SIZES[0])]
    curves = [(*network, size) for network in NETWORKS for size in SIZES]
    everyone = dict.fromkeys([*NETWORKS, *((trunk, 1.0) for trunk in TRUNKS)])
    return list(dict.fromkeys([*curves, *((*network, usual_size) for network in everyone)]))


def export_random(recipe, network, calibration):
    """A recipe with another network, at random weights: serialised graphs by precision."""
    changed = recipe.with_values(
        {
            "model.trunk": network["trunk"],
            "model.width": network["width"],
            "model.init": "random",
            "frontend.image_size": network["image_size"],
        }
    )
    model = trace(ExportedNet(build_net(changed, len(calibration.pcm)), 1.0))
    for apply in PASSES:
        apply(model)
    ranges = activation_ranges(model, [calibration])
    lowered = {
        precision: convert_precision(model, precision, ranges) for precision in ("fp16", "int8")
    }
    return {name: serialise(graph) for name, graph in ({"fp32": model} | lowered).items()}
