"""What the contrastive-center loss contributes: its forms and weights, and training without it.

Small networks, so that many can be trained: 60 speakers with 8 clips each, images of 48 x 48, 12
epochs, no discriminant at the end. Each is evaluated on other clips of its speakers, clean and in
noise, and on the embeddings of unseen speakers: verification (EER), and how often the right one of
30 is named from one enrolled clip or five. A folder each in OUT; a finished run is not repeated,
and a stopped one goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import matplotlib
import numpy as np

from bench.accuracy.few import list_clips
from bench.accuracy.table import print_comparison, settings, train_all
from voxedge.cli.console import answer
from voxedge.evaluation.answers import FILE, folder_of
from voxedge.evaluation.verification import SHOTS, Verification

matplotlib.use("Agg")
from matplotlib import pyplot

SPEAKERS = (60, 8, 2, 6)  # speakers, and training, validation and test clips of each
SMALL = ("--image-size", "48", "--epochs", "12")
_WITHOUT = "none"


def _variant(form: str, weight: float, unit: bool, **others: float) -> dict[str, str]:
    values = {"center": form, "center_weight": weight, "center_unit": str(unit).lower()}
    return {f"loss.{name}": str(value) for name, value in (values | others).items()}


#: Changes of the recipe by name: the form, whether embeddings are normalised, and the weight.
VARIANTS: dict[str, dict[str, str]] = {
    _WITHOUT: {"loss.center": "none"},
    **{f"paper-{w}": _variant("paper", w, unit=False) for w in (1, 10, 100, 1000)},
    **{f"paper-unit-{w}": _variant("paper", w, unit=True) for w in (1, 10, 100, 1000)},
    **{f"split-unit-{w}": _variant("split", w, unit=True) for w in (0.1, 1, 10, 100)},
    "paper-unit-100-late": _variant("paper", 100, unit=True, center_warm_up=1.0),
    "split-unit-10-late": _variant("split", 10, unit=True, center_warm_up=1.0),
    "paper-unit-100-slow": _variant("paper", 100, unit=True)
    | {"optimizer.center_learning_rate": "0.05"},
}


def make(
    data: Path, noise: Path, unseen: Path, out: Path, variants: Sequence[str], seeds: Sequence[int]
) -> None:
    """Train and evaluate every variant with every seed, then compare and plot them.

    Args:
        data: folder of speakers with 16 clips each.
        noise: folder of noises, for the evaluation.
        unseen: folder of other speakers.
        out: folder to write to.
        variants: keys of ``VARIANTS``; differences are to the first.
        seeds: of the weights and the order; the clips are the same for all.

    Raises:
        typer.Exit: a command failed; what was finished stays.
    """
    out.mkdir(parents=True, exist_ok=True)
    listed = list_clips(data, out / "clips.csv", *SPEAKERS)
    common = {"loss.refit": "false"}
    flags = {variant: (*SMALL, *settings(common | VARIANTS[variant])) for variant in variants}
    evaluate = ("--stress", "noise10", "--noise", str(noise), "--unseen", str(unseen))
    runs = train_all(listed, flags, seeds, out, evaluate)
    found = {variant: [_verification(run) for run in own] for variant, own in runs.items()}
    answer(table(found))
    draw(found, out / "centers.svg")
    print_comparison(runs)


def table(found: Mapping[str, Sequence[Verification]]) -> str:
    """Markdown: each variant on unseen speakers, the mean over its seeds (and their range)."""
    lines = ["| | EER % | one clip % | five clips % | cosine, same | cosine, different |"]
    lines.append("|---" * 6 + "|")
    for variant, own in found.items():
        rates = [[row["eer"]["value"] for row in own]]
        rates += [[row["shots"][str(shots)]["value"] for row in own] for shots in SHOTS]
        cells = [_ranged([100 * value for value in values]) for values in rates]
        for kind in ("same", "different"):
            mean, deviation = _spread(own, kind)
            cells.append(f"{mean:.2f} ± {deviation:.2f}")
        lines.append(f"| {variant} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(found: Mapping[str, Sequence[Verification]], path: Path) -> None:
    """Plot the cosines of clip pairs of the same and of different unseen speakers.

    Args:
        found: verification of every seed, by variant.
        path: the SVG to write; equal values give equal bytes.
    """
    with pyplot.rc_context({"svg.hashsalt": "voxedge", "svg.fonttype": "none"}):
        figure, axes = pyplot.subplots(figsize=(8, 0.3 * len(found) + 1.2), layout="constrained")
        for kind, colour in (("same", "C0"), ("different", "C3")):
            means, deviations = np.array([_spread(own, kind) for own in found.values()]).T
            label = f"{kind} speaker"
            axes.errorbar(
                means, range(len(found)), xerr=deviations, fmt="o", color=colour, label=label
            )
        axes.set_yticks(range(len(found)), list(found))
        axes.invert_yaxis()
        axes.set_xlabel("cosine of two clips of unseen speakers: mean, standard deviation")
        axes.legend()
        figure.savefig(path, format="svg", metadata={"Date": None})
        pyplot.close(figure)


def _verification(run: Path) -> Verification:
    text = (folder_of(run) / FILE).read_text(encoding="utf-8")
    found: Verification = json.loads(text)["measures"]["verification"]
    return found


def _spread(own: Sequence[Verification], kind: Literal["same", "different"]) -> tuple[float, float]:
    spreads = [row["cosines"][kind] for row in own]
    mean = np.mean([spread["mean"] for spread in spreads])
    deviation = np.mean([spread["deviation"] for spread in spreads])
    return float(mean), float(deviation)


def _ranged(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{np.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"
