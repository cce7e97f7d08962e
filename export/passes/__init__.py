"""Graph passes, one a file. Each takes an ``onnx_ir`` model, changes it in place, and says whether
it did; a second run of a pass changes nothing."""

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
