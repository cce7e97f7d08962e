"""Does the file compute what was trained? PyTorch against ONNX Runtime, before anything is written.

Shapes: B batch, S samples, W samples of the window, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from voxedge.audio.limits import Samples
from voxedge.audio.windows import batches
from voxedge.errors import ParityError
from voxedge.nn.speaker_net import ExportedNet

TOLERANCE = 1e-3  # largest difference of any output
_BATCHES = (1, 2, 3, 7)


@dataclass(frozen=True)
class Row:
    """One line of the parity table."""

    case: str
    rows: int  # windows compared
    logits: float  # largest absolute difference
    probabilities: float
    embedding: float
    top1: float  # fraction that agree
    top5: float

    @property
    def passed(self) -> bool:
        """Within tolerance, every answer the same."""
        worst = max(self.logits, self.probabilities, self.embedding)
        return worst <= TOLERANCE and self.top1 == 1.0 and self.top5 == 1.0


def measure(net: ExportedNet, model: bytes, clips: Sequence[Samples]) -> list[Row]:
    """Compare on real clips, at every batch size and at awkward lengths.

    Args:
        net: what was trained.
        model: the serialised graph.
        clips: real speech, [S] each.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return [_compare(net, session, name, cases) for name, cases in _cases(net, clips)]


def check(rows: Sequence[Row]) -> None:
    """Refuse a graph that differs.

    Raises:
        ParityError: by how much, and where.
    """
    for row in rows:
        if not row.passed:
            raise ParityError(
                f"no file written: on {row.case} the exported logits differ by {row.logits:.2e},"
                f" probabilities by {row.probabilities:.2e}, embeddings by {row.embedding:.2e},"
                f" allowed {TOLERANCE:.0e}; top-1 agrees in {row.top1:.1%}, top-5 in {row.top5:.1%}"
            )


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """For the metadata; rounded, so that equal runs have equal bytes."""
    table = [
        {k: float(f"{v:.1e}") if isinstance(v, float) else v for k, v in asdict(row).items()}
        for row in rows
    ]
    return {
        "reference": "PyTorch",
        "runtime": f"onnxruntime {onnxruntime.__version__}",
        "tolerance": TOLERANCE,
        "windows": sum(row.rows for row in rows),
        "logits": max(row["logits"] for row in table),
        "top1": min(row["top1"] for row in table),
        "top5": min(row["top5"] for row in table),
        "cases": table,
    }


Case = tuple[Samples, npt.NDArray[np.int64] | None]  # pcm [B, S], lengths [B]


def _cases(net: ExportedNet, clips: Sequence[Samples]) -> Iterator[tuple[str, list[Case]]]:
    window = net.net.frontend.window.samples
    parts = [(None, clip[:window]) for clip in clips]
    parts *= math.ceil(max(_BATCHES) / len(parts))
    for size in _BATCHES:
        some = parts if size == 7 else parts[: 8 * size]
        yield (
            f"clips, batch {size}",
            [(batch.pcm, batch.lengths) for batch in batches(some, size, window)],
        )
    longest = max(clips, key=len)
    speech = np.tile(longest, 1 + 2 * window // len(longest))
    lengths = {
        "shorter than the window": (window // 3, window // 12),
        "odd lengths": (window - 1, window + 1, window // 2 + 1),
        "longer than the window": (window + 12_345, 2 * window),
    }
    for name, sizes in lengths.items():
        yield name, [(speech[None, :size], None) for size in sizes]
    mixed = np.array([window // 4, window // 2, window])
    yield "lengths given", [(np.stack([speech[:window]] * 3), mixed)]
    quiet = np.stack([speech[:window] * 1e-3, np.zeros(window, np.float32), -speech[:window]])
    yield "quiet, silent, inverted", [(quiet, None)]


def _compare(
    net: ExportedNet, session: onnxruntime.InferenceSession, name: str, cases: list[Case]
) -> Row:
    ours: list[list[npt.NDArray[np.float32]]] = []
    theirs: list[list[npt.NDArray[np.float32]]] = []
    for pcm, lengths in cases:
        valid = np.full(len(pcm), pcm.shape[1]) if lengths is None else lengths
        with torch.inference_mode():
            outputs = net(torch.from_numpy(pcm), torch.from_numpy(valid))
        ours.append([value.numpy() for value in outputs])
        feeds = {"pcm": pcm} if lengths is None else {"pcm": pcm, "lengths": lengths}
        theirs.append(session.run(["logits", "probabilities", "embedding"], feeds))
    pairs = [
        (np.concatenate(a), np.concatenate(b))
        for a, b in zip(zip(*ours, strict=True), zip(*theirs, strict=True), strict=True)
    ]
    differences = [float(np.abs(a - b).max()) for a, b in pairs]
    expected, actual = pairs[0]
    agree = [_agreement(expected, actual, k) for k in (1, 5)]
    return Row(name, len(expected), *differences, *agree)


def _agreement(expected: npt.NDArray[np.float32], actual: npt.NDArray[np.float32], k: int) -> float:
    """Fraction of rows whose k best classes are the same, as sets; ties within tolerance agree."""
    same = 0
    for a, b in zip(expected, actual, strict=True):
        best_a, best_b = (set(np.argsort(-row, kind="stable")[:k].tolist()) for row in (a, b))
        swapped = best_a ^ best_b
        same += not swapped or float(np.ptp(a[list(swapped)])) <= TOLERANCE
    return same / len(expected)
