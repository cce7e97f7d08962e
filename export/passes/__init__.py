"""Graph passes, one per file.

A pass takes an ``onnx_ir`` model, changes it in place, and returns whether it did. A second run of
a pass changes nothing. ``PASSES`` keep the answers of a float32 graph; ``quantise``, ``to_float16``
and ``compress_constants`` trade accuracy for size and speed, and are applied by
``voxedge.export.precision``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import onnx_ir as ir
from voxedge.export.passes.fold_channel_repeat import fold_channel_repeat
from voxedge.export.passes.make_lengths_optional import make_lengths_optional
from voxedge.export.passes.narrow_indices import narrow_indices
from voxedge.export.passes.tidy import tidy

Pass: TypeAlias = Callable[[ir.Model], bool]

#: In the order in which they run.
PASSES: tuple[Pass, ...] = (make_lengths_optional, fold_channel_repeat, narrow_indices, tidy)
